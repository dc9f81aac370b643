"""What is looked up beside candidates: words.py vocabulary.py  words near to one that no document
has, and parts of compounds; home.py  where files are now that were moved with their index."""
