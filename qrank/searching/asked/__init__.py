"""What a query is taken to mean: answer.py  from a caller's words to an answer;  typos.py  words
that no document has;  synonyms.py  the user's own."""
