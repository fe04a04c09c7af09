"""Arrays of parameters, written out by hand: psycopg's general dumper takes a third of a small claim's time."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import DataError
from psycopg.adapt import Dumper


class ArrayDumper(Dumper):
    """One dimension, text format, no type: every statement of ours casts its arrays."""

    def dump(self, obj: list[Any]) -> bytes:
        text = f"{{{','.join(map(_element, obj))}}}"
        try:
            return text.encode()
        except UnicodeEncodeError as wrong:
            raise DataError(f"PostgreSQL text cannot contain half a surrogate pair: {wrong.reason}") from None


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return _quoted(value)
        case UUID():
            return value.hex
        case bool():
            return "t" if value else "f"
        case int() | float():
            return repr(value)
        case datetime():
            return f'"{value.isoformat()}"'
        case _:
            raise TypeError(f"no array of {type(value).__name__} among a worker's parameters: {value!r}")


def _quoted(text: str) -> str:
    if "\x00" in text:  # libpq would silently end the whole parameter here
        raise DataError("PostgreSQL text cannot contain NUL (0x00) characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
