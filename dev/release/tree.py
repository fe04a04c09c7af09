"""The tree that a release is made of: a copy of its tracked files, with the commit and its time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.checkout import copy_files, git, version_of
from dev.machine.errors import DevError
from dev.machine.shell import CommandError


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder with the files of one commit and nothing else."""

    root: Path
    commit: str
    epoch: int  # time of the commit: the latest time in everything that is made of it

    @property
    def version(self) -> str:
        return version_of(self.root)


@contextlib.contextmanager
def copied(checkout: Path, *, must_be_clean: bool = True) -> Iterator[Tree]:
    """The files of a checkout that git knows or would add, copied. Raises DevError for what is not committed."""
    try:
        commit, seconds = git(checkout, "log", "-1", "--format=%H %ct").split()
        changed = git(checkout, "status", "--porcelain").splitlines()
    except CommandError as error:
        raise DevError(f"{checkout} is not a git checkout with a commit: {error}") from error
    if must_be_clean and changed:
        raise DevError(f"{checkout} has changes that are not committed, such as `{changed[0]}`: commit or remove them")
    with scratch_directory(cache_directory() / "builds") as root:
        copy_files(checkout, root)
        yield Tree(root, commit, int(seconds))
