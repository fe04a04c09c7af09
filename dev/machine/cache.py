"""Where results that take long to make are kept between runs: outside the checkout, safe to delete."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$JOBTIDE_CACHE, else $XDG_CACHE_HOME/jobtide, else ~/.cache/jobtide."""
    if chosen := environ.get("JOBTIDE_CACHE"):
        return Path(chosen)
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base) / "jobtide"
    return Path.home() / ".cache" / "jobtide"


@contextlib.contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """A folder beside its destination, so that a finished result can be renamed into place atomically."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Holds a lock of this machine, so that two runs never do the same work; it ends with the process."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
