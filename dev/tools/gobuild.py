"""One `go build`: shows its progress, and puts its programs into place only when they are complete."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import scratch_directory
from dev.machine.errors import DevError
from dev.machine.progress import Step, step
from dev.machine.shell import last_lines
from dev.machine.system import is_network_error, require_program


@dataclass(frozen=True, slots=True)
class Build:
    """What to build from one Go module, and where to put it."""

    title: str
    usual: str
    module_directory: Path
    packages: tuple[str, ...]
    ldflags: str
    destination: Path


def build(request: Build) -> None:
    """Builds the programs. It may be interrupted at any time: Go keeps what it compiled."""
    require_program("go", "install Go 1.26 or newer from https://go.dev/dl/ and put it on the PATH")
    with (
        step(request.title, usual=request.usual, unit="packages") as current,
        scratch_directory(request.destination) as scratch,
    ):
        current.total = _count_stale_packages(request, current)
        arguments = ["go", "build", "-v", "-trimpath", "-ldflags", request.ldflags, "-o", f"{scratch}/"]
        _run_go([*arguments, *request.packages], request, current)
        for built in scratch.iterdir():
            built.rename(request.destination / built.name)


def _count_stale_packages(request: Build, current: Step) -> int:
    """Fetches the modules too. The build compiles the stale packages and prints a line for each."""
    current.unit = "modules fetched"
    template = "{{if .Stale}}{{.ImportPath}}{{end}}"
    arguments = ["go", "list", "-deps", "-trimpath", "-ldflags", request.ldflags, "-f", template]
    output = _run_go([*arguments, *request.packages], request, current)
    current.done, current.unit = 0, "packages"
    return len(output.split())


def _run_go(arguments: list[str], request: Build, current: Step) -> str:
    """The standard output. Each line on standard error is one module fetched or one package compiled."""
    environ = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    # A file, not a second pipe: the list of Kubernetes' packages is more than a pipe holds, and go would block on it
    # while the other stream is read.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:
        with subprocess.Popen(
            arguments,
            cwd=request.module_directory,
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.PIPE,
        ) as process:
            lines = []
            for line in process.stderr or ():
                lines.append(line)
                current.advance()
        if process.returncode != 0:
            raise DevError(_failure(request, lines))
        answer.seek(0)
        return answer.read()


def _failure(request: Build, lines: list[str]) -> str:
    output = last_lines("".join(lines))
    if is_network_error(output):
        proxy = os.environ.get("GOPROXY", "the Go module proxy")
        return f"{request.title} needs {proxy}, which can't be reached: connect this machine or set GOPROXY. {output}"
    return f"{request.title} failed in {request.module_directory}: {output}"
