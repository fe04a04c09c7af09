"""Kubernetes clusters: a given one, kind, or host processes; and an API server alone, for tests."""

from __future__ import annotations

from dev.cluster.choose import choose_cluster
from dev.cluster.control_plane import ControlPlane, control_plane
from dev.cluster.provider import Cluster

__all__ = ["Cluster", "ControlPlane", "choose_cluster", "control_plane"]
