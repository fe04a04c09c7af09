"""What the page knows of the controller at one moment: references to frozen values, taken in the controller's loop.

To take one costs the loop no more than the copy of a list. The page's own thread reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jobtide_controller.decide.limits import Shared
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.loop.term import DatabaseState, PoolState, Term


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """One database as the loop last left it."""

    reading: Reading | Unreadable | None  # None: not read yet
    read_at: float | None = None  # of the last good reading, by the database's clock
    shows_tenants: bool = True
    warnings: tuple[str, ...] = ()
    pools: Mapping[str, PoolState] = field(default_factory=dict)  # by UID; only `gauges` is read of them
    shared_limits: Shared = field(default_factory=dict)  # of tenants, by the view


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All pools, and what the current term remembers of their databases; no databases while another leads."""

    taken_at: float  # seconds since the epoch, by the controller's clock
    leads: bool
    leader: str | None  # the name in the Lease; None: not known
    pools: tuple[PoolEntry, ...] = ()
    databases: Mapping[str, DatabaseView] = field(default_factory=dict)


def take(entries: Iterable[PoolEntry], term: Term | None, leader: str | None, now: float) -> Snapshot:
    """A snapshot; call it in the controller's loop."""
    databases = {} if term is None else {name: _view(state) for name, state in term.databases.items()}
    return Snapshot(now, term is not None, leader, tuple(entries), databases)


def _view(state: DatabaseState) -> DatabaseView:
    shared = state.limits.kept.shared
    return DatabaseView(state.reading, state.read_at, state.shows_tenants, state.warnings, dict(state.pools), shared)
