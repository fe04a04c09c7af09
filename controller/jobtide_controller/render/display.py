"""Short texts of numbers and ages, for the columns of `kubectl get` and for messages."""

from __future__ import annotations

import math
from datetime import datetime

from jobtide_controller.api.status import Display

UNKNOWN = "?"
NONE = "-"

_PLAIN_BELOW = 10_000
_THOUSAND, _MILLION = 1_000, 1_000_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def count(number: int, *, capped: bool = False) -> str:
    """8,140; 12k; 1.2M; rounded down, and with a plus if counting stopped."""
    plus = "+" if capped else ""
    if number < _PLAIN_BELOW:
        return f"{number:,}{plus}"
    if number < _MILLION:
        return f"{number // _THOUSAND}k{plus}"
    return f"{math.floor(number / _MILLION * 10) / 10:.1f}M{plus}"


def age(seconds: float) -> str:
    """41s; 4m10s; 2h4m; 3d4h: the two largest units, rounded down."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return _two_units(whole, _MINUTE, 1, "ms")
    if whole < _DAY:
        return _two_units(whole, _HOUR, _MINUTE, "hm")
    return _two_units(whole, _DAY, _HOUR, "dh")


def clock(moment: datetime) -> str:
    """Date and time of a moment that is in UTC, as the API server stores it."""
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"


def _two_units(seconds: int, large: int, small: int, units: str) -> str:
    remainder = seconds % large // small
    return f"{seconds // large}{units[0]}" + (f"{remainder}{units[1]}" if remainder else "")


def unknown(limited_by: str) -> Display:
    """The columns while the database can't be read."""
    return Display(
        pending=UNKNOWN, oldest=UNKNOWN, busy=UNKNOWN, processing=UNKNOWN, tenants=UNKNOWN, limited_by=limited_by
    )
