"""What the demo, the end-to-end tests, the pod benchmarks and chaos share: a cluster with Jobtide, and views of it."""
