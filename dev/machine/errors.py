"""The error of everything in dev, and the exit codes of its commands."""

from __future__ import annotations

import sys
from collections.abc import Callable


class DevError(Exception):
    """One sentence for the user: what was tried, with which value, what to do next."""


def exit_code(run: Callable[[], bool], *, interrupted: str) -> int:
    """0 if `run()` is true, 1 if it is false or raises DevError, 130 after Ctrl-C; errors go to standard error."""
    try:
        return 0 if run() else 1
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        return 130
