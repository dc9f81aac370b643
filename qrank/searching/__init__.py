"""Searching: from a query to ranked results."""
