"""The interactive search."""
