"""The queues that the benchmark compares: a small program of each, with the same job, and how they are run."""
