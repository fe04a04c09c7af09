"""Pure functions that decide how many workers each pool should have, and why."""
