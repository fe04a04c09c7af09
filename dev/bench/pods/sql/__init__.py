"""SQL of the pod benchmarks."""
