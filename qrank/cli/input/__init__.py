"""What is read from the command line and from stdin."""
