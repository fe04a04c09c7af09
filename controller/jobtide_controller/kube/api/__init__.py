"""The client for the API server, its connections, and the lease that elects the leader."""
