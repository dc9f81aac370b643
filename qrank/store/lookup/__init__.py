"""What is looked up beside candidates: words.py  words near to one that no document has."""
