"""Input from the command line and from stdin."""
