"""What `jobtide dev --demo` brings: an application, its pools, and a producer of jobs for ten tenants."""

from __future__ import annotations

from pathlib import Path

APP = f"{__name__}.handlers:tide"
POOLS = Path(__file__).parent / "pools.yaml"
