"""Interpreting a query: answer.py takes a caller's words to an answer; typos.py corrects words that
no document has; synonyms.py has the user's synonyms."""
