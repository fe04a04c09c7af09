"""Pools, Deployments and pods in memory, kept up to date by a watch and by full lists."""
