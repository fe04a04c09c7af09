"""A runner that writes down what would be run, and a cache of each test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.machine.shell import Argument, CommandError


@dataclass(slots=True)
class Recorder:
    """Answers by the longest known beginning of a command; unknown commands end well and say nothing."""

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
