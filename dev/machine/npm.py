"""Packages of npm that tests need, as a lock file has them: kept between runs, never in the checkout."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.shell import Argument, Runner, run
from dev.machine.system import ensure_packages


def node_modules(folder: Path, runner: Runner = run) -> Path:
    """The node_modules of the package.json and package-lock.json in `folder`: npm checks the lock's digests.

    Raises DevError if Node.js is missing and can't be installed, CommandError if npm can't install the packages.
    """
    ensure_packages({"nodejs": "node", "npm": "npm"})
    lock = (folder / "package-lock.json").read_bytes()
    made = cache_directory() / "npm" / sha256(lock).hexdigest()[:16]
    with exclusive("npm"):
        if not made.exists():
            with scratch_directory(made.parent) as scratch:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(folder / name, scratch)
                install: list[Argument] = [
                    "npm",
                    "ci",
                    "--prefix",
                    scratch,
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                ]
                runner(install)
                (scratch / "node_modules").rename(made)
    return made
