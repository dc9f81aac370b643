"""Output for people, for programs, and messages."""
