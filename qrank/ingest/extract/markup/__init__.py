"""Markup that people write, and what programs exchange as text."""
