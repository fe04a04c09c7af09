"""The health of job_queue as vacuum sees it: what was found, as values, and what it means.

The doctor and the controller read it with one statement, schema/sql/table_health.sql, and judge it here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

# A queue is the first to suffer from an old snapshot; a backup or a report of some minutes is no fault.
OLD_SNAPSHOT_SECONDS = 900.0
# Claims pass fewer dead rows than that without notice; a busy minute between two vacuums makes as many.
MANY_DEAD_ROWS = 100_000
MANY_TRIGGERS = 2  # so often the number at which autovacuum starts
LATE_VACUUM_SECONDS = 600.0
UNVACUUMED_SECONDS = 86_400.0  # with autovacuum off, others may vacuum the table once a day

Reason = Literal["Healthy", "OldSnapshot", "DeadRows", "AutovacuumOff", "NotReadable"]

_FIND_SESSION = (
    "SELECT pid, usename, application_name, state, xact_start FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "ORDER BY greatest(age(backend_xmin), age(backend_xid)) DESC NULLS LAST LIMIT 5"
)
_SWITCHED_OFF = {
    "autovacuum_enabled": ("for this table", "ALTER TABLE job_queue RESET (autovacuum_enabled)"),
    "autovacuum": ("on this server", "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()"),
    "track_counts": (
        "on this server, since track_counts is off",
        "ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()",
    ),
}
# In a message only these are named, so that it seldom changes.
_AGES = (
    (2_592_000, "30 days"),
    (604_800, "a week"),
    (86_400, "a day"),
    (14_400, "4 hours"),
    (3_600, "an hour"),
    (900, "15 minutes"),
    (600, "10 minutes"),
)


@dataclass(frozen=True, slots=True)
class Holder:
    """An open snapshot or transaction: vacuum keeps every row that died after it began."""

    kind: Literal["session", "prepared", "slot"]
    name: str  # of a session its process ID
    xid: str
    transactions: int  # that began since
    seconds: float | None  # None: this role may not see it
    who: str = ""  # of a session: its role and application


@dataclass(frozen=True, slots=True)
class TableHealth:
    """What one look found."""

    size_bytes: int  # with indexes
    live_rows: int | None  # None: the server lost its statistics, or keeps none
    dead_rows: int | None
    vacuum_age_seconds: float | None  # None: never
    vacuum_at_rows: int  # dead rows at which autovacuum starts
    switched_off: str | None  # the setting that keeps autovacuum away
    holders: tuple[Holder, ...]  # those that hold back the most transactions first

    @property
    def oldest(self) -> Holder | None:
        """The oldest holder by what is known; None: vacuum can remove every dead row."""
        return max(self.holders, key=lambda one: (one.seconds or 0.0, one.transactions), default=None)

    @property
    def oldest_seconds(self) -> float | None:
        """Its age; None: unknown."""
        return 0.0 if self.oldest is None else self.oldest.seconds


@dataclass(frozen=True, slots=True)
class Verdict:
    """The message says what was found and what to do."""

    reason: Reason
    message: str

    @property
    def status(self) -> Literal["True", "False", "Unknown"]:
        return {"Healthy": "True", "NotReadable": "Unknown"}.get(self.reason, "False")  # type: ignore[return-value]


class SnapshotAges:
    """Since when each holder has been seen: the server says it of other roles only to pg_read_all_stats."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str, str], float] = {}

    def aged(self, health: TableHealth, now: float) -> TableHealth:
        """The same health; each holder is at least as old as it has been seen. `now` is monotonic, in seconds.

        Not while no transaction has begun since: what a standby sends stays the same on a server that is not used.
        """
        keys = {one: (one.kind, one.name, one.xid) for one in health.holders}
        self._since = {key: self._since.get(key, now) if one.transactions else now for one, key in keys.items()}
        aged = (replace(one, seconds=max(one.seconds or 0.0, now - self._since[keys[one]])) for one in health.holders)
        return replace(health, holders=tuple(aged))


def health_of(row: Mapping[str, Any]) -> TableHealth:
    """From the row of table_health.sql."""
    return TableHealth(
        row["size_bytes"],
        row["live_rows"],
        row["dead_rows"],
        row["vacuum_age_seconds"],
        row["vacuum_at_rows"],
        row["switched_off"],
        tuple(Holder(**one) for one in row["holders"]),
    )


def judge(health: TableHealth) -> Verdict:
    """The cause comes before its effects: without autovacuum nothing else matters, and under an old snapshot no vacuum
    removes anything.
    """
    dead_rows, vacuum_age = health.dead_rows or 0, health.vacuum_age_seconds
    is_late = vacuum_age is None or vacuum_age >= LATE_VACUUM_SECONDS
    has_many_dead = is_late and dead_rows >= max(MANY_DEAD_ROWS, MANY_TRIGGERS * health.vacuum_at_rows)
    is_unvacuumed = vacuum_age is None or vacuum_age >= UNVACUUMED_SECONDS
    if health.switched_off is not None and (has_many_dead or is_unvacuumed):
        return Verdict("AutovacuumOff", _switched_off(health, health.switched_off))
    if health.oldest is not None and (health.oldest.seconds or 0.0) >= OLD_SNAPSHOT_SECONDS:
        return Verdict("OldSnapshot", _old_snapshot(health, health.oldest))
    if has_many_dead:
        return Verdict("DeadRows", _dead_rows(health))
    return Verdict("Healthy", "vacuum keeps up with the table, and nothing holds it back")


def end_holder(holder: Holder) -> str:
    """What to do about this holder."""
    name = _printable(holder.name).replace("'", "''")
    match holder.kind:
        case "prepared":
            return f"COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}', in its database"
        case "slot":
            return (
                "look at the standby that uses it (hot_standby_feedback), or, if none does, "
                f"SELECT pg_drop_replication_slot('{name}')"
            )
        case "session":
            return f"SELECT pg_terminate_backend({name})"


def age_words(seconds: float) -> str:
    """`more than an hour`: few values, so that what has them seldom changes."""
    return next((f"more than {words}" for least, words in _AGES if seconds >= least), "less than 10 minutes")


def rows_words(rows: int) -> str:
    """`more than 300,000`: steps of about three."""
    power = 10 ** (len(str(rows)) - 1)
    return f"more than {3 * power if rows >= 3 * power else power:,}"


def _old_snapshot(health: TableHealth, holder: Holder) -> str:
    what, fix = {
        # Not this one's process ID: where reports follow each other it would change the message all the time.
        "session": ("a transaction", f"find and end it: {_FIND_SESSION}"),
        "prepared": (f"the prepared transaction {_printable(holder.name)}", end_holder(holder)),
        "slot": (f"the replication slot {_printable(holder.name)}", end_holder(holder)),
    }[holder.kind]
    return (
        f"{what} has held a snapshot for {age_words(holder.seconds or 0.0)}, so vacuum keeps all rows of job_queue "
        f"that have died since{_many(health)} and claims get slower: {fix}"
    )


def _dead_rows(health: TableHealth) -> str:
    return (
        f"job_queue has {rows_words(health.dead_rows or 0)} dead rows, {_vacuumed(health)}, and autovacuum starts at "
        f"{rows_of(health.vacuum_at_rows)}, so it does not keep up and claims get slower: VACUUM job_queue; and let it "
        "work without pauses: ALTER TABLE job_queue SET (autovacuum_vacuum_cost_delay = 0)"
    )


def _switched_off(health: TableHealth, setting: str) -> str:
    where, fix = _SWITCHED_OFF[setting]
    return f"autovacuum is off {where}, {_vacuumed(health)}, so dead rows of job_queue stay{_many(health)}: {fix}"


def _many(health: TableHealth) -> str:
    """Nothing for few: the server may lose its count and find it again, and the message stays the same."""
    dead_rows = health.dead_rows or 0
    return f" ({rows_words(dead_rows)} now)" if dead_rows >= MANY_DEAD_ROWS else ""


def _vacuumed(health: TableHealth) -> str:
    age = health.vacuum_age_seconds
    return "it was never vacuumed" if age is None else f"it was last vacuumed {age_words(age)} ago"


def _printable(name: str) -> str:
    """Clients choose the names of prepared transactions, and messages are shown in terminals."""
    return name if name.isprintable() else ascii(name)[1:-1]


def rows_of(rows: int) -> str:
    """Two digits, so that a small change of the table is not seen."""
    digits = 10 ** max(0, len(str(rows)) - 2)
    return f"{rows // digits * digits:,}"
