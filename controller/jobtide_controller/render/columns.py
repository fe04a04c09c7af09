"""The line of a pool in `kubectl get jwp`, computed here: for `jobtide dev`, and for what checks a demo's course."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobtide_controller.api.crd import COLUMNS, Column
from jobtide_controller.render import display

SHOWN = tuple(column for column in COLUMNS if not column.priority)


def head() -> tuple[str, ...]:
    """The headings, as kubectl prints them."""
    return ("NAME", *(column.name.upper() for column in SHOWN))


def cells(item: Mapping[str, Any], now: float) -> tuple[str, ...]:
    """One cell for each heading. `item` is the pool as the API server has it; `now` in seconds since 1970."""
    return (str(item["metadata"]["name"]), *(_cell(column, item, now) for column in SHOWN))


def _cell(column: Column, item: Mapping[str, Any], now: float) -> str:
    """Empty, as in kubectl, if the object does not have the field."""
    value: Any = item
    for name in column.path.removeprefix(".").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if column.type == "date":
        return display.age(max(0.0, now - datetime.fromisoformat(value).timestamp()))
    return str(value)
