"""What one pool may know of a reading of its database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobtide_controller.decide.reading import Reading, Slices, Unreadable, UnreadableReason
from jobtide_controller.loop.ports import PoolEntry

Usable = Callable[[str], Sequence[str]]
"""The names of the databases that pools of a namespace may use."""


def part_of(entry: PoolEntry, parts: Slices | Unreadable, usable: Usable | None, now: float) -> Reading | Unreadable:
    """The pool's part, or why it has none. Where no database has its name, the ones that it may use are listed."""
    if entry.not_allowed is not None:
        return Unreadable(UnreadableReason.NOT_ALLOWED, entry.not_allowed, now)
    if isinstance(parts, Slices):
        return parts.of(entry.uid)
    if parts.reason is not UnreadableReason.NOT_CONFIGURED or usable is None:
        return parts
    names = usable(entry.ref.namespace)
    if entry.database in names:  # its URL can't be used
        return parts
    listed = ", ".join(names) or "none"
    return replace(parts, message=f"{parts.message}; databases that namespace {entry.ref.namespace} may use: {listed}")
