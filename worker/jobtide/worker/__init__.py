"""One worker process: the claim loop, the handlers that run, how their jobs end, and their leases."""
