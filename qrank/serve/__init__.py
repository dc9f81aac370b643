"""The warm process: answers commands and other programs without loading anything again."""
