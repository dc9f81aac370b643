"""Reading files: walking, extracting text, splitting into chunks. Knows neither the index nor the
models."""
