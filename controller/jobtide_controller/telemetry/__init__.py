"""Events of the controller, and what subscribes to them: logs and metrics; and the server of probes and metrics."""
