"""The release before this one, from which users upgrade: made once with the tools of today, and kept in the cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.checkout import VERSION_FILE, git, unpack, version_of
from dev.machine.errors import DevError
from dev.machine.shell import CommandError
from dev.release.tree import Tree


def commit_before(checkout: Path, chosen: str = "") -> str:
    """`chosen`, else the highest tag vX.Y.Z below this version, else the parent of the commit that set this version."""
    if chosen:
        try:
            return git(checkout, "rev-parse", "--verify", "--quiet", f"{chosen}^{{commit}}").strip()
        except CommandError as error:
            raise DevError(f"{checkout} has no commit {chosen!r}, which JOBTIDE_BEFORE names: {error}") from error
    current = version_of(checkout)
    tags = git(checkout, "tag", "--list", "v[0-9]*", "--merged", "HEAD").split()
    if tag := tag_before(current, tags):
        return git(checkout, "rev-parse", f"{tag}^{{commit}}").strip()
    if git(checkout, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise DevError(f"{checkout} is a shallow clone, and the release before is in its past: git fetch --unshallow")
    line = f'__version__ = "{current}"'
    found = git(checkout, "log", "-1", "--format=%H", f"-S{line}", "--", VERSION_FILE).strip()
    try:
        return git(checkout, "rev-parse", "--verify", "--quiet", f"{found}^").strip()
    except CommandError as error:
        raise DevError(f"{current} is the first version in the history of {checkout}: there is none before") from error


def tag_before(version: str, tags: Iterable[str]) -> str | None:
    """The highest tag vX.Y.Z below the numbers of `version`. v1.0.0-rc1 is no release to upgrade from."""
    older = [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag) and _numbers(tag) < _numbers(version)]
    return max(older, key=_numbers, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def release_before(checkout: Path, make: Callable[[Tree, Path], None], *, chosen: str = "") -> Path:
    """The folder of the release before; `make` makes it where the cache has none of that commit."""
    commit = commit_before(checkout, chosen)
    kept = cache_directory() / "releases" / commit
    with exclusive("releases"):
        if not kept.exists():
            with scratch_directory(kept.parent) as scratch:
                made = scratch / "made"
                make(_unpacked(checkout, commit, scratch), made)
                made.rename(kept)
    return kept


def _unpacked(checkout: Path, commit: str, scratch: Path) -> Tree:
    unpack(checkout, commit, scratch / "tree")
    return Tree(scratch / "tree", commit, int(git(checkout, "log", "-1", "--format=%ct", commit)))
