"""Writes to the cluster: Deployments, statuses and Events, by priority and at a limited rate."""
