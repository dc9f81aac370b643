"""The analyser: what index and queries see of a text."""
