"""The files of one version of the documentation: those of the checkout, or of a tag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dev.machine.checkout import git, unpack
from dev.machine.errors import DevError

INDEX = "docs/index.md"


def copy_tag(root: Path, tag: str, into: Path) -> None:
    """The files of a tag. Raises DevError if it has no site."""
    unpack(root, f"refs/tags/{tag}", into)
    if not (into / INDEX).is_file():
        raise DevError(f"VERSIONS: {tag} has no {INDEX}: it is older than the site, so leave it out")


def require(root: Path, releases: Sequence[str]) -> None:
    """Raises DevError for a tag that does not exist."""
    known = tags(root)
    if missing := [tag for tag in releases if tag not in known]:
        raise DevError(f"VERSIONS: no tag {missing[0]!r} in this repository; it has {', '.join(known) or 'none'}")


def tags(root: Path) -> list[str]:
    """The tags of releases, the oldest first. git by itself sorts v1.0.0-rc1 behind v1.0.0."""
    return git(root, "-c", "versionsort.suffix=-", "tag", "--list", "v*", "--sort=version:refname").split()
