"""Everything that talks to the Kubernetes API server: the client, what it reads, and what it writes."""
