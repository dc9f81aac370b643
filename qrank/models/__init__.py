"""Which model files there are, and which one a name means."""
