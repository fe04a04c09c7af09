"""Jobs of one millisecond, for `jobtide worker dev.bench.brief:tide`."""

from __future__ import annotations

import time

from jobtide import Tide

SECONDS = 0.001
TYPE = "brief"

tide = Tide()


@tide.job(TYPE)
def brief(payload: object) -> None:  # noqa: ARG001 - the name is the interface
    """Waits, as for another service."""
    time.sleep(SECONDS)
