"""What a shell and an editor are given: completions, manual pages, places."""
