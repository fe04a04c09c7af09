"""Jobtide itself, run as the other queues are."""
