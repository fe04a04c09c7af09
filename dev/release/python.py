"""The wheel and the sdist."""

from __future__ import annotations

import sys
from pathlib import Path

from dev.machine.shell import Argument, run
from dev.release.tree import Tree


def build_distributions(tree: Tree, out: Path) -> None:
    """Builds the sdist, and the wheel from it. hatchling sorts the files, and has the time from SOURCE_DATE_EPOCH."""
    build: list[Argument] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree.root]
    run(build, environ={"SOURCE_DATE_EPOCH": str(tree.epoch)})
