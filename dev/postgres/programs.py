"""The programs of PostgreSQL 15 and 18 on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev.machine.cache import exclusive
from dev.machine.errors import DevError
from dev.machine.system import ensure_packages
from jobtide_controller.embedded import programs

VERSIONS = (15, 18)


class ServerError(DevError):
    """A PostgreSQL program failed; the message holds its output."""


def binaries(version: int) -> Path:
    """The folder of initdb, pg_ctl and psql; installs them first if they are missing."""
    match version:
        case 15:
            return _debian_binaries()
        case 18:
            return programs.binaries()
        case _:
            raise ServerError(f"no PostgreSQL {version} here: versions are {VERSIONS}")


def _debian_binaries() -> Path:
    folder = Path("/usr/lib/postgresql/15/bin")
    if not (folder / "initdb").exists():
        # Alone: the first of two processes would remove the file of the second one.
        with exclusive("postgresql-15"), _no_main_cluster() if os.geteuid() == 0 else contextlib.nullcontext():
            ensure_packages({"postgresql-15": str(folder / "initdb")})
    return folder


@contextlib.contextmanager
def _no_main_cluster() -> Iterator[None]:
    """Keeps Debian's package from starting a server of its own on port 5432."""
    conf = Path("/etc/postgresql-common/createcluster.d/jobtide.conf")
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        conf.unlink()


def run(command: Sequence[str | Path], *, log: Path | None = None) -> None:
    """Runs a program as PostgreSQL's account; raises ServerError with its output and the end of `log` if it fails."""
    try:
        programs.run(command, log=log)
    except programs.ProgramError as error:
        raise ServerError(str(error)) from error


def popen_as_owner(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts a program as PostgreSQL's account, with an open pipe as standard input; its output is discarded."""
    guard: subprocess.Popen[bytes] = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=programs.environment(),
        start_new_session=True,  # Ctrl-C is for the owner, which then closes it in order
        **programs.credentials(),
    )
    return guard
