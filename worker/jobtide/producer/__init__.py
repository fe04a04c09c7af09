"""Enqueues jobs on the connection of the caller, in its transaction."""
