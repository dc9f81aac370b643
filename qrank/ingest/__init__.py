"""Files -> documents -> chunks. Knows neither the index nor the models."""
