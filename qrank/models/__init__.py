"""The registry of models, and getting, finding and converting their files."""
