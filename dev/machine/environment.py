"""The virtual environment of the checkout: hash-pinned packages, and the project itself as editable."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dev.machine.cache import exclusive
from dev.machine.errors import DevError
from dev.machine.progress import step
from dev.machine.shell import Argument, CommandError, Runner, run
from dev.machine.system import ensure_packages, is_network_error

ROOT = Path(__file__).parents[2]
INPUTS = ("pyproject.toml", "requirements/uv.txt")
PARTS = ("demo", "dev")
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Environment:
    """`.venv` in the checkout. A stamp in it holds a digest of its inputs.

    The part `demo` is a fifth of the megabytes of `dev`, which has all of it.
    """

    root: Path = ROOT
    runner: Runner = run
    part: Literal["demo", "dev"] = "dev"

    @property
    def directory(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def uv(self) -> Path:
        return self.directory / "bin" / "uv"

    @property
    def stamp(self) -> Path:
        return self.directory / "made-from"

    def ensure(self) -> Path:
        """The path of its Python; makes the environment first if its inputs changed."""
        if not self._current():
            _require_python()
            with exclusive("environment"):
                if not self._current():
                    self._make()
        return self.python

    def inputs_digest(self, part: str) -> str:
        digest = hashlib.sha256(sys.version.encode())
        for name in (*INPUTS, f"requirements/{part}.txt"):
            digest.update((self.root / name).read_bytes())
        return digest.hexdigest()

    def _current(self) -> bool:
        enough = {self.part, "dev"}
        return self.stamp.exists() and self.stamp.read_text() in map(self.inputs_digest, enough)

    def _make(self) -> None:
        self.stamp.unlink(missing_ok=True)
        requirements = self.root / "requirements"
        with step("Making .venv with the pinned packages", usual="10 to 60 s"):
            try:
                self.runner([sys.executable, "-m", "venv", self.directory])
                pip: list[Argument] = [self.python, "-m", "pip", "install", "--quiet", "--require-hashes"]
                self.runner([*pip, "-r", requirements / "uv.txt"])
                install: list[Argument] = [self.uv, "pip", "install", "--quiet", "--python", self.python]
                self.runner([*install, "--require-hashes", "-r", requirements / f"{self.part}.txt"])
                self.runner([*install, "--no-deps", "--no-build-isolation", "--editable", self.root])
            except CommandError as error:
                if is_network_error(str(error)):
                    raise DevError(
                        "the Python package index can't be reached: connect this machine, or name a mirror "
                        f"with PIP_INDEX_URL and UV_INDEX_URL. {error}"
                    ) from error
                raise
        self.stamp.write_text(self.inputs_digest(self.part))


def _require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise DevError(
            f"this is Python {sys.version.split()[0]} and Jobtide needs 3.11 or newer: "
            "install one and run `make SYSTEM_PYTHON=/path/to/it ...`"
        )
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
        ensure_packages({"python3-venv": "/usr/lib/python3/ensurepip-is-missing"})
