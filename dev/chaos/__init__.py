"""Chaos: everything that Jobtide stands on is killed, frozen and cut off in random order, and every job is counted."""
