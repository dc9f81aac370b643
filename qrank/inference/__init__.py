"""Models ready to use, and asking them only what they were not asked before."""
