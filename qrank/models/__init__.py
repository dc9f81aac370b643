"""Model files and their names."""
