"""The release before this one, unpacked and installed in the cache: upgrade tests run it beside this tree."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import exclusive, scratch_directory
from dev.machine.checkout import version_of
from dev.machine.environment import ROOT
from dev.machine.progress import step
from dev.machine.shell import Argument, run
from dev.release.before import release_before
from dev.release.python import build_distributions
from dev.release.tree import Tree


@dataclass(frozen=True, slots=True)
class Before:
    """What an upgrade starts from, in one folder."""

    folder: Path

    @property
    def tree(self) -> Path:
        """All its files: the chart, the CRD, and what its images are built from."""
        return self.folder / "tree"

    @property
    def version(self) -> str:
        return version_of(self.tree)

    @property
    def environment(self) -> Path:
        return self.folder / "python{}.{}".format(*sys.version_info)

    @property
    def python(self) -> Path:
        """The Python that has its wheel and the packages that it was pinned to."""
        return self.environment / "bin" / "python"


def ensure_before(checkout: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Before:
    """Makes and installs it, unless that was done before. JOBTIDE_BEFORE names another commit to take for it."""
    before = Before(release_before(checkout, make_for_upgrade, chosen=environ.get("JOBTIDE_BEFORE", "")))
    with exclusive("releases"):
        if not before.environment.exists():
            with step("Installing the release before this one", usual="2 to 20 s"):
                _install(before)
    return before


def make_for_upgrade(tree: Tree, out: Path) -> None:
    """Its files and its wheel. Images are built from the files where there is a cluster."""
    shutil.copytree(tree.root, out / "tree")
    build_distributions(tree, out)


def _install(before: Before) -> None:
    """In a folder that is renamed at the end; the scripts in it, which name their folder, are not used."""
    uv: Argument = Path(sys.executable).parent / "uv"
    (wheel,) = before.folder.glob("*.whl")
    with scratch_directory(before.folder) as scratch:
        made = scratch / "made"
        run([uv, "venv", "--quiet", "--python", sys.executable, made])
        install: list[Argument] = [uv, "pip", "install", "--quiet", "--python", made / "bin" / "python"]
        run([*install, "--require-hashes", "-r", before.tree / "requirements" / "controller.txt"])
        run([*install, "--no-deps", "--no-index", wheel])
        made.rename(before.environment)
