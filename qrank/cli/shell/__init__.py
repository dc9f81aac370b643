"""Output for shells and editors: completions, manual pages, places."""
