"""Parsing input from the command line and from stdin."""
