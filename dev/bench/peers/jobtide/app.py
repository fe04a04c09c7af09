"""The handler that does nothing, for `jobtide worker dev.bench.peers.jobtide.app:tide`."""

from __future__ import annotations

import atexit
import os

from dev.bench.peers.recording import Starts
from jobtide import Tide

tide = Tide()
starts = Starts(os.environ["BENCH_STARTS"])
atexit.register(starts.close)


@tide.job("bench")
def noop(payload: object) -> None:  # noqa: ARG001 - the name is the interface
    """Records its start."""
    starts.record()
