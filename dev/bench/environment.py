"""A virtual environment in the cache for pgqueuer and procrastinate: they are never installed in the checkout."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive
from dev.machine.environment import Environment
from dev.machine.progress import step
from dev.machine.shell import Argument, run

PINNED = Path("requirements/bench.txt")


def peers_python() -> Path:
    """The Python that has pgqueuer and procrastinate; installs them first if they are missing."""
    digest = hashlib.sha256(sys.version.encode() + PINNED.read_bytes()).hexdigest()[:16]
    folder = cache_directory() / f"bench-{digest}"
    python, made = folder / "bin" / "python", folder / "made"
    with exclusive("bench-environment"):
        if not made.exists():
            with step("Installing pgqueuer and procrastinate", usual="5 to 20 s"):
                run([sys.executable, "-m", "venv", "--clear", folder])
                install: list[Argument] = [Environment().uv, "pip", "install", "--quiet", "--python", python]
                run([*install, "--require-hashes", "-r", PINNED])
            made.touch()
    return python


def peers_version(python: Path, package: str) -> str:
    """Returns the installed version of a package, from the environment of this Python."""
    return run([python, "-c", f"from importlib.metadata import version; print(version({package!r}))"]).strip()
