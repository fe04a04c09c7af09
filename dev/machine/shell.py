"""Runs other programs; a failure becomes one error with the command and the end of its output."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dev.machine.errors import DevError

Argument = str | Path


class Runner(Protocol):
    """How dev runs a program; tests pass one that records the commands."""

    def __call__(
        self,
        arguments: Sequence[Argument],
        *,
        input_text: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str: ...


class CommandError(DevError):
    """A program ended with an exit code other than zero, or could not be started."""


def run(
    arguments: Sequence[Argument],
    *,
    input_text: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The program's standard output; raises CommandError if it fails or is not installed."""
    command = [str(argument) for argument in arguments]
    try:
        completed = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            env=None if environ is None else {**os.environ, **environ},
        )
    except FileNotFoundError:
        raise CommandError(f"`{command[0]}` is not installed, and `{shlex.join(command)}` needs it") from None
    if completed.returncode != 0:
        reason = last_lines(completed.stderr or completed.stdout)
        raise CommandError(f"`{shlex.join(command)}` ended with exit code {completed.returncode}: {reason}")
    return completed.stdout


def succeeds(runner: Runner, arguments: Sequence[Argument]) -> bool:
    """True if the program ends with exit code 0."""
    try:
        runner(arguments)
    except CommandError:
        return False
    return True


def last_lines(text: str, count: int = 8) -> str:
    """The last `count` lines of a program's output: the reason of a failure is nearly always there."""
    return "\n".join(text.strip().splitlines()[-count:]) or "(no output)"
