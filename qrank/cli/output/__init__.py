"""What is printed: for people, for programs, and everything else."""
