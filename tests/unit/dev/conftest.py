"""A cache of each test's own, and stand-ins for programs.

recorder       a runner that only records the commands
fake_program   a script on the PATH that keeps its state in a folder, and can be made to fail
go             such a script, in place of the Go command
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.machine.shell import Argument, CommandError


@dataclass(slots=True)
class Recorder:
    """Answers by the longest known beginning of a command; unknown commands succeed with no output."""

    outputs: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def __call__(
        self,
        arguments: Sequence[Argument],
        *,
        input_text: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        command = " ".join(str(argument) for argument in arguments)
        self.commands.append(command)
        for beginning, words in self.failures.items():
            if command.startswith(beginning):
                raise CommandError(f"`{command}` ended with exit code 1: {words}")
        known = [beginning for beginning in self.outputs if command.startswith(beginning)]
        return self.outputs[max(known, key=len)] if known else ""


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def new_recorder() -> Callable[..., Recorder]:
    return Recorder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("JOBTIDE_CACHE", str(directory))
    return directory


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where fake programs keep their state; a file `broken-VERB` makes them fail with its text at that verb."""
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


@pytest.fixture
def fake_program(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a script on the PATH that runs in the folder `state`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(f'#!/bin/sh\nset -e\ncd "{state}"\n{FAILS}\n{script}')
        program.chmod(0o755)
        return program

    return make


FAILS = 'fails() { if [ -e "broken-$1" ]; then cat "broken-$1" >&2; exit 1; fi; }'


# `go list` prints much on standard output, and `go build` writes one file for each package, named after it.
GO = """
if [ "$1" = list ]; then
  yes k8s.io/a/package/with/a/long/name | head -n 20000
  echo "go: downloading k8s.io/a v1" >&2
  exit
fi
while [ "$1" != "-o" ]; do shift; done
out=$2
shift 2
set -o noclobber
for package; do
  echo "$package" > "$out$(basename "${package%/v[0-9]}")"
  echo "$package" >&2
done
"""


@pytest.fixture
def go(fake_program: Callable[[str, str], Path]) -> Path:
    """A Go command that compiles nothing; like the real one it can't build two programs of one name at once."""
    return fake_program("go", GO)
