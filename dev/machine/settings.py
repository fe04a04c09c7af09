"""Reads settings that a user gives as text."""

from __future__ import annotations

from dev.machine.errors import DevError


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """Parses `text`. Raises DevError with the name, the text and the bounds if it is not such a number."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise DevError(f"{name}={text!r}: expected a whole number from {least} to {most}")
    return int(text)
