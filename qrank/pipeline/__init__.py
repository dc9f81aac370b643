"""The two stories, indexing and searching, and the filters: to be read from top to bottom."""
