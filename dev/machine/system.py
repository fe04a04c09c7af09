"""Checks what the machine must have; each error is one sentence with a remedy."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from dev.machine.cache import exclusive
from dev.machine.errors import DevError
from dev.machine.progress import step
from dev.machine.shell import CommandError, Runner, run, succeeds

DISK_NEEDED_BYTES = 6 * 1024**3
APT = "apt"  # who runs apt holds this lock: apt does not wait for another one, it fails
NETWORK_ERROR = re.compile(
    r"dial tcp|no such host|connection refused|timed? ?out|tls handshake|server misbehaving|proxyconnect|"
    r"name or service not known|temporary failure|could not resolve|failed to fetch|max retries|newconnectionerror|"
    r"dns error|error sending request|client error \(connect\)|couldn't download",
    re.IGNORECASE,
)


def require_program(name: str, remedy: str) -> Path:
    """Returns the program's path; raises DevError with `remedy` if it is not on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise DevError(f"`{name}` was not found on the PATH: {remedy}")
    return Path(found)


def require_disk(directory: Path, needed_bytes: int = DISK_NEEDED_BYTES) -> None:
    """Raises DevError if the disk has too little space; called before work that writes images or build caches."""
    existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise DevError(
            f"{existing} has {free_bytes / 1024**3:.1f} GB free and this needs about "
            f"{needed_bytes / 1024**3:.0f} GB: free some, or set JOBTIDE_CACHE to a folder on a larger disk"
        )


def is_network_error(output: str) -> bool:
    """True if the output of a program says that it could not reach a server."""
    return NETWORK_ERROR.search(output) is not None


def require_root(user_id: Callable[[], int] = os.geteuid) -> None:
    """Raises DevError unless this process runs as root."""
    if user_id() != 0:
        raise DevError(
            "a local cluster needs root, and no Docker engine answers: run this as root, start Docker, "
            "or name an existing cluster with CONTEXT=..."
        )


def raise_file_limit() -> None:
    """Raises the limit of open files, for child processes too: a Kubernetes node needs more than the usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def require_free_port(address: str, port: int, purpose: str, runner: Runner = run) -> None:
    """Raises DevError, with the program that listens there, if a server could not use this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            raise DevError(
                f"port {port} on {address}, which {purpose} needs, is in use by "
                f"{_listener(port, runner)}: stop that program and run this again"
            ) from None


def ensure_packages(programs: dict[str, str], runner: Runner = run, user_id: Callable[[], int] = os.geteuid) -> None:
    """Installs the Debian packages whose programs are missing. `programs`: package -> a command or file of it."""
    if not (missing := _missing(programs)):
        return
    if user_id() != 0 or shutil.which("apt-get") is None:
        names = " ".join(missing)
        raise DevError(f"these Debian packages are missing: {names}; run `apt-get install {names}` as root")
    with exclusive(APT):
        if missing := _missing(programs):
            _install(missing, runner)


def _missing(programs: dict[str, str]) -> list[str]:
    return sorted(package for package, program in programs.items() if not _present(program))


def _install(packages: list[str], runner: Runner) -> None:
    names = " ".join(packages)
    environ = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    with step(f"Installing {names}", usual="20 to 60 s"):
        try:
            runner(["apt-get", "update", "-qq"], environ=environ)
            runner(install, environ=environ)
        except CommandError as error:
            raise DevError(f"apt could not install {names}; is the package mirror reachable? {error}") from error


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def _listener(port: int, runner: Runner) -> str:
    query = ["ss", "-Hltnp", f"sport = :{port}"]
    if not succeeds(runner, query):
        return "another program"
    users = runner(query).partition('users:(("')[2]
    name, _, rest = users.partition('"')
    process_id = rest.partition("pid=")[2].partition(",")[0]
    return f"{name} (process {process_id})" if name and process_id else "another program"
