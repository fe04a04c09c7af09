"""Reads the job tables and requeues the jobs of gone pods: one thread and one connection for each database."""
