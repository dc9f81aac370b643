"""Ids of chunks and places in files: how a result is named, found again and verified."""
