"""The command line: parses arguments, calls the API, and prints the result."""
