"""A Kubernetes node of host processes, for machines where no Docker engine answers."""

from __future__ import annotations

from dev.cluster.local.cluster import LocalCluster

__all__ = ["LocalCluster"]
