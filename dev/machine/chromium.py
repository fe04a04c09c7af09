"""The browser that the page is tested in: Debian's Chromium, or the one that JOBTIDE_CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from dev.machine.cache import exclusive
from dev.machine.errors import DevError
from dev.machine.system import ensure_packages

CHOSEN = "JOBTIDE_CHROMIUM"

# Nothing but the page is asked for, and root has no sandbox.
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the browser; installs the package first if there is none. Raises DevError, with what to do."""
    if chosen := environ.get(CHOSEN):
        if not Path(chosen).is_file():
            raise DevError(f"{CHOSEN}={chosen!r} is no file: name the program of a Chromium or Chrome")
        return Path(chosen)
    try:
        with exclusive("chromium"):
            ensure_packages({"chromium": "chromium"})
    except DevError as error:
        raise DevError(f"{error}, or name another Chromium with {CHOSEN}=/path/to/it") from error
    found = shutil.which("chromium")
    assert found is not None  # ensure_packages installed it
    return Path(found)
