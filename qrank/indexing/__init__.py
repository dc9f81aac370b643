"""Indexing: from files to an up-to-date index, and export and import."""
