"""Settings of the run: its duration and its seed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dev.machine.settings import whole_number

DEFAULT_SECONDS = "600"
SHORTEST_SECONDS, LONGEST_SECONDS = 30, 86_400
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """`seconds` is how long faults strike and jobs arrive; the same seed makes the same jobs and faults."""

    seconds: int
    seed: int


def read_settings(
    environ: Mapping[str, str] = os.environ, *, new_seed: Callable[[int], int] = secrets.randbelow
) -> Settings:
    """Reads SECONDS and SEED; without SEED, draws a new seed."""
    seed = environ.get("SEED") or str(new_seed(LARGEST_SEED))
    return Settings(
        # bash has a variable SECONDS of its own, but never exports it.
        seconds=whole_number("SECONDS", environ.get("SECONDS") or DEFAULT_SECONDS, SHORTEST_SECONDS, LONGEST_SECONDS),
        seed=whole_number("SEED", seed, 0, LARGEST_SEED),
    )
