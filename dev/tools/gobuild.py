"""One `go build`: shows its progress, and puts its programs into place only when they are complete."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import scratch_directory
from dev.machine.errors import DevError
from dev.machine.progress import Step, step
from dev.machine.shell import last_lines
from dev.machine.system import is_network_error, require_program

# Compilers and linkers live for seconds, so they collect garbage only when one of them holds more than this. A compiler
# takes 10 to 30 % less processor time.
MEMORY = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}


@dataclass(frozen=True, slots=True)
class Build:
    """What to build in one Go module, and where each program goes: a file by its package, all below `directory`."""

    title: str
    usual: str
    module_directory: Path
    stamps: str  # for the linker
    directory: Path
    programs: Mapping[str, Path]
    tags: str = ""  # which of a program's optional parts are compiled


def build(request: Build) -> None:
    """Builds the programs. It may be interrupted at any time: Go keeps what it compiled."""
    require_program("go", "install Go 1.26 or newer from https://go.dev/dl/ and put it on the PATH")
    with (
        step(request.title, usual=request.usual, unit="packages") as current,
        scratch_directory(request.directory) as scratch,
    ):
        current.total = _count_stale_packages(request, current)
        _run_go(["build", "-v", *_flags(request), "-o", f"{scratch}/", *request.programs], request, current)
        for package, path in request.programs.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            (scratch / go_binary_name(package)).rename(path)


def go_binary_name(package: str) -> str:
    """The file name that `go build -o DIR/` gives a package: its last element, without a major version."""
    *_, parent, last = package.split("/")
    return parent if last[:1] == "v" and last[1:].isdigit() else last


def _flags(request: Build) -> list[str]:
    # Nothing for a debugger is compiled (-dwarf), because the linker would drop it (-s -w).
    linker = f"-ldflags=-s -w {request.stamps}"
    return ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-tags={request.tags}", linker]


def _count_stale_packages(request: Build, current: Step) -> int:
    """Fetches the modules too. The build compiles the stale packages and prints a line for each."""
    current.unit = "modules fetched"
    template = "{{if .Stale}}{{.ImportPath}}{{end}}"
    output = _run_go(["list", "-deps", *_flags(request), "-f", template, *request.programs], request, current)
    current.done, current.unit = 0, "packages"
    return len(output.split())


def _run_go(arguments: list[str], request: Build, current: Step) -> str:
    """The standard output. Each line on standard error is one module fetched or one package compiled."""
    environ = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", **MEMORY}
    # A file, not a second pipe: the list of Kubernetes' packages is more than a pipe holds, and go would block on it
    # while the other stream is read.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:
        with subprocess.Popen(
            ["go", *arguments],
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
