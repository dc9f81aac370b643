"""Ids of chunks and places in files: naming a hit, finding it again, verifying it."""
