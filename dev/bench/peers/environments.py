"""What each queue runs in: made when it is first asked for, kept in the cache, never in the checkout."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive
from dev.machine.environment import Environment
from dev.machine.npm import node_modules
from dev.machine.progress import step
from dev.machine.shell import Argument, run
from dev.tools.gobuild import Build, build

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PINNED = ROOT / "requirements/bench.txt"


def this_python(name: str) -> Sequence[str]:
    """The command of a program that runs beside the project, in its environment."""
    return [sys.executable, "-m", f"dev.bench.peers.{name}"]


def peers_python(name: str) -> Sequence[str]:
    """The command of a program that needs requirements/bench.txt."""
    digest = hashlib.sha256(sys.version.encode() + PINNED.read_bytes()).hexdigest()[:16]
    folder = cache_directory() / f"bench-{digest}"
    python, made = folder / "bin" / "python", folder / "made"
    with exclusive("bench-environment"):
        if not made.exists():
            with step("Installing awa, PgQueuer and procrastinate", usual="5 to 20 s"):
                run([sys.executable, "-m", "venv", "--clear", folder])
                install: list[Argument] = [Environment().uv, "pip", "install", "--quiet", "--python", python]
                run([*install, "--require-hashes", "-r", PINNED])
            made.touch()
    return [str(python), "-m", f"dev.bench.peers.{name}"]


def node(name: str) -> Sequence[str]:
    """The command of a program in Node.js; its packages are those of the lock file beside it."""
    packages = node_modules(HERE / name)
    return ["env", f"NODE_PATH={packages}", "NODE_ENV=production", "node", str(HERE / name / "program.mjs")]


def go(name: str) -> Sequence[str]:
    """The command of a program in Go, built from the module beside it."""
    folder = HERE / name
    digest = hashlib.sha256(b"".join((folder / file).read_bytes() for file in ("go.mod", "go.sum", "main.go")))
    directory = cache_directory() / "tools" / f"bench-{name}-{digest.hexdigest()[:16]}"
    program = directory / name
    with exclusive(f"bench-{name}"):
        if not program.exists():
            build(
                Build(
                    f"Building {name} for the benchmark",
                    "10 to 60 s",
                    folder,
                    "",
                    directory,
                    {f"jobtide.dev/bench/{name}": program},
                )
            )
    return [str(program)]
