"""The health of the table in lines: the controller's verdict on it, with exact numbers."""

from __future__ import annotations

from collections.abc import Iterator

from jobtide.doctor.findings import Finding
from jobtide.table_health import Holder, TableHealth, end_holder, judge

_MANY_TRANSACTIONS = 1_000
_MIB = 1_048_576
_CHECKS = {"OldSnapshot": "snapshot", "DeadRows": "dead rows", "AutovacuumOff": "autovacuum"}


def table_findings(health: TableHealth) -> Iterator[Finding]:
    """A line for each part; that of the condition TableHealthy has its message too."""
    verdict = judge(health)
    wrong = _CHECKS.get(verdict.reason)
    for check, text, is_note in (
        ("snapshot", _snapshot(health), _may_be_old(health)),
        ("dead rows", _rows(health), health.dead_rows is None),
        ("autovacuum", _vacuum(health), health.switched_off is not None),
    ):
        if check == wrong:
            yield Finding(check, "warning", f"{text}; {verdict.message}")
        else:
            yield Finding(check, "note" if is_note else "ok", text)


def _may_be_old(health: TableHealth) -> bool:
    """Of unknown age, and not one that every statement has for a moment."""
    one = health.oldest
    return one is not None and one.seconds is None and one.transactions >= _MANY_TRANSACTIONS


def age(seconds: float) -> str:
    """1.5 hours: `90m`."""
    unit, least = next(((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("m", 60)) if seconds >= 2 * s), ("s", 1))
    return f"{seconds / least:.0f}{unit}"


def _snapshot(health: TableHealth) -> str:
    holder = health.oldest
    if holder is None:
        return "nothing holds vacuum back"
    where = _holder(holder)
    if holder.seconds is None:
        return (
            f"{where} holds a snapshot that {holder.transactions:,} transactions have begun since; its age in time is "
            f"shown only to pg_read_all_stats. If it stays: {end_holder(holder)}"
        )
    return f"the oldest is {age(holder.seconds)} old, of {where}"


def _holder(holder: Holder) -> str:
    kind = {"session": "session", "prepared": "prepared transaction", "slot": "replication slot"}[holder.kind]
    return f"{kind} {holder.name}" + (f" ({holder.who})" if holder.who else "")


def _rows(health: TableHealth) -> str:
    size = f"{health.size_bytes / _MIB:,.1f} MiB with indexes"
    if health.dead_rows is None or health.live_rows is None:
        return f"not known: the server counts no rows, or lost the counts in a crash; ANALYZE job_queue; {size}"
    return f"{health.dead_rows:,} dead, {health.live_rows:,} live, {size}"


def _vacuum(health: TableHealth) -> str:
    last = health.vacuum_age_seconds
    words = "never vacuumed yet" if last is None else f"last vacuumed {age(last)} ago"
    if health.switched_off is not None:
        return f"off ({health.switched_off}), {words}"
    return f"on, from {health.vacuum_at_rows:,} dead rows on; {words}"
