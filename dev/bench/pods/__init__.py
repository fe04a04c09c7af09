"""Benchmarks with real pods: how soon new work starts workers, and what a scale-down costs."""
