"""Writes to the cluster: Deployments, statuses and Events, through one queue and one rate limit."""
