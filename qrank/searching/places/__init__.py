"""How a hit is named (ids, places in files), found again, and verified."""
