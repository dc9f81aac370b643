"""What is printed: for people, for programs, and what else is said."""
