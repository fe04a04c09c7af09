"""Benchmarks of the controller with ten thousand pools."""
