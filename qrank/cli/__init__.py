"""The command line: parse arguments, call one library function, show what it says."""
