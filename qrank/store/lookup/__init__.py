"""What is looked up beside candidates: words.py vocabulary.py  words near to one that no document
has, and parts of compounds."""
