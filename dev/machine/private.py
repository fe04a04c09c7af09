"""Files and folders of this user alone: other users of the machine can't read or replace them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from dev.machine.errors import DevError


def write_private(path: Path, text: str) -> None:
    """Replaces the file atomically; its mode is 0600 from its creation, also if an older file had another."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def private_directory(path: Path) -> Path:
    """Makes the folder with mode 0700; takes the read and search rights of others from one that exists.

    Raises DevError if another user owns it or can write to it: its content may be that user's.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid() or mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DevError(
            f"{path} belongs to user {found.st_uid} and has mode {mode:04o}, so another user may have put "
            "files into it: remove it, or choose another folder"
        )
    if mode & 0o077:
        path.chmod(0o700)
    return path
