"""Events of the worker, and what subscribes to them: logs, metrics, probes."""
