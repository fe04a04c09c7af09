"""Real clusters for tests and for the demo."""

from __future__ import annotations

from dev.cluster.control_plane import ControlPlane, control_plane

__all__ = ["ControlPlane", "control_plane"]
