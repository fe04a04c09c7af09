"""`.jobtide` of the working directory: one session at a time, and the mark of the workers that are its own."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path
from typing import Self

from jobtide.commands.dev_folder import FOLDER
from jobtide.errors import JobtideError

_OWNER = re.compile(r"[0-9a-f]{8}")


class Folder:
    """As a context: held by this process alone, also if a process before was killed."""

    def __init__(self, working_directory: Path) -> None:
        self.path = working_directory / FOLDER
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(exist_ok=True)
            (self.path / ".gitignore").write_text("*\n")
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JobtideError(f"{self.path} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 20, 0).decode() or "?"
            os.close(self._lock)
            raise JobtideError(
                f"another jobtide dev (process {holder}) runs in {self.path.parent}: end it, or use another directory"
            ) from None
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None
        os.close(self._lock)

    @property
    def postgres(self) -> Path:
        """The folder of the embedded server."""
        return self.path / "postgres"

    @property
    def owner(self) -> str:
        """Eight hexadecimal digits with which the UIDs of this folder's workers begin, in every session."""
        file = self.path / "owner"
        text = file.read_text().strip() if file.exists() else ""
        if not _OWNER.fullmatch(text):
            text = secrets.token_hex(4)
            file.write_text(text + "\n")
        return text
