"""Dumps arrays of parameters: psycopg's general dumper takes a third of a small claim's time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import NoneType
from typing import Any
from uuid import UUID

from psycopg import DataError
from psycopg.adapt import Dumper


class ArrayDumper(Dumper):
    """One dimension, text format, no type: every statement casts its arrays."""

    def dump(self, obj: list[Any]) -> bytes:
        """Raises DataError for text that UTF-8 can't encode, TypeError for a value of a type without a writer."""
        texts = _Texts()
        try:
            written = [texts[value] if type(value) is str else _WRITERS[type(value)](value) for value in obj]
            return f"{{{','.join(written)}}}".encode()
        except UnicodeEncodeError as wrong:
            raise DataError(f"PostgreSQL text cannot contain half a surrogate pair: {wrong.reason}") from None
        except KeyError as unknown:
            raise TypeError(f"no array of {unknown} among a worker's parameters: {obj!r}") from None


class _Texts(dict[str, str]):
    """Each text as an array holds it. Made once for each: a batch of ends has few tokens, statuses and results."""

    def __missing__(self, text: str) -> str:
        quoted = self[text] = _quoted(text)
        return quoted


def _quoted(text: str) -> str:
    if "\x00" in text:  # libpq would silently cut the whole parameter here
        raise DataError("PostgreSQL text cannot contain NUL (0x00) characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: "NULL",
    UUID: lambda value: f"{value.int:032x}",
    bool: lambda value: "t" if value else "f",
    int: repr,
    float: repr,
    datetime: lambda value: f'"{value.isoformat()}"',
}
