"""Lookups beside candidates. words.py, vocabulary.py: the vocabulary, for spelling suggestions and
compounds; home.py: the paths of files that were moved together with their index."""
