"""Readers of markup languages, and of text formats for data exchange."""
