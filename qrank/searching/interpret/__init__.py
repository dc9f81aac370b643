"""Interpreting a query: meaning.py parses it and adds synonyms (synonyms.py) and the parts of
compounds (parts.py); typos.py corrects words; answer.py answers one query or several."""
