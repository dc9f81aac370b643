"""The interactive search (`qrank tui`)."""
