"""Benchmarks (`make bench`): each figure of docs/benchmarks.md."""
