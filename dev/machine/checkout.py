"""A checkout of this repository: its version, its files as they are now, and those of a commit."""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from dev.machine.errors import DevError
from dev.machine.shell import Argument, run

VERSION_FILE = "worker/jobtide/_version.py"


def version_of(folder: Path) -> str:
    """The version of the files in a folder."""
    file = folder / VERSION_FILE
    found = re.search(r'^__version__ = "([^"]+)"$', file.read_text() if file.is_file() else "", re.MULTILINE)
    if found is None:
        raise DevError(f'{file} has no line __version__ = "...": is {folder} a checkout of Jobtide?')
    return found[1]


def git(checkout: Path, *arguments: Argument) -> str:
    """What git prints."""
    return run(["git", "-C", checkout, *arguments])


def copy_files(checkout: Path, into: Path) -> None:
    """The files as they are now, also those that are not committed yet; without what .gitignore names."""
    listed = git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (checkout / name).is_file():  # a deleted file is listed until the deletion is staged
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, into / name)


def unpack(checkout: Path, commit: str, into: Path) -> None:
    """The files of a commit or tag."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        git(checkout, "archive", "--format=tar", "--output", archive.name, commit)
        with tarfile.open(archive.name) as tar:
            tar.extractall(into, filter="data")
