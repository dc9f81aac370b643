"""From files to an index that is up to date, and from index to index."""
