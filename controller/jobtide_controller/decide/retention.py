"""Which ended jobs may be deleted, in which batches, and how long to rest between them.

A pass walks the index (status, created_at) from its oldest row to the youngest that may be deleted, first the completed
rows, then the failed ones. It moves on by creation times, so it never looks at the same rows twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jobtide_controller.api.spec import Retention

ENDED = ("completed", "failed")

# Of one core, by the duration of the statements: with what they wait for the disk, they take less.
SHARE = 0.03

# A batch of 0.02 to 0.1 s is long enough for its fixed cost, and short enough to go unnoticed.
SHORT_SECONDS, LONG_SECONDS = 0.02, 0.1
FEWEST_ROWS, FIRST_ROWS, MOST_ROWS = 25, 200, 2_000

# A reading takes some milliseconds, with 100,000 waiting jobs 50. One that takes this long waits for the machine.
SLOW_SECONDS = 0.5
SLOW_REST_SECONDS = 5.0

# Between two passes, and a thousand times what the pass took if that is longer: a pass over millions of rows that stay
# costs a thousandth of a core.
PASS_SECONDS, LONGEST_PASS_SECONDS = 300.0, 3_600.0
FAILED_PASS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds that jobs of each type stay after their end, by status. Types that are not in it stay."""

    completed: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    is_unknown: bool = False  # a pool can't be read, so nothing may go

    def of(self, status: str) -> Mapping[str, int]:
        return self.completed if status == "completed" else self.failed


class Batch(NamedTuple):
    """The order for one statement."""

    status: str
    seconds: Mapping[str, int]  # by type
    after: float | None  # only rows that were created after this, in seconds since the epoch; None: all
    rows: int  # to look at; rows that were created at the same moment as the last one come on top
    most: int  # to delete; 0: only find out where the batch ends


class Deleted(NamedTuple):
    """What one statement did."""

    until: float | None  # rows up to this creation time were looked at; None: all that may be old enough
    found: int  # rows that were old enough
    rows: Mapping[str, int]  # deleted, by type
    oldest_left: Mapping[str, float]  # creation time of the oldest row that is too young, by type
    seconds: float  # how long the statement took


@dataclass(frozen=True, slots=True)
class Pass:
    """How far one pass over the table has come."""

    policy: Policy
    statuses: tuple[str, ...]  # not walked to their end; the first is walked now
    after: float | None = None
    rows: int = FIRST_ROWS
    is_skipping: bool = False  # the next rows can't be deleted now
    deleted: Mapping[str, int] = field(default_factory=dict)  # by type
    oldest_left: Mapping[str, float] = field(default_factory=dict)  # by type
    cost_seconds: float = 0.0


class PassReport(NamedTuple):
    """The last pass, as far as it came."""

    at: float  # by the controller's clock
    deleted: Mapping[str, int]  # by type
    oldest_left: Mapping[str, float]
    message: str = ""  # why it did not come to its end


class Retained(NamedTuple):
    """What a pool's status shows of the last pass."""

    at: float
    deleted: int
    oldest_left: float | None
    message: str


def policy_of(pools: Iterable[tuple[Sequence[str] | None, Retention]]) -> Policy:
    """The policy of a database from the types and the retention of its pools.

    A job that is deleted can't be brought back: of two pools with the same type the longer time counts, and a pool
    without one keeps the jobs. Types None: the pool is refused, so which jobs it keeps is not known, and all stay.
    """
    kept: dict[str, dict[str, int | None]] = {status: {} for status in ENDED}
    for types, retention in pools:
        if types is None:
            return Policy(is_unknown=True)
        of_pool = {"completed": retention.completed_seconds, "failed": retention.failed_seconds}
        for status, by_type in kept.items():
            for type_ in types:
                by_type[type_] = _longer(by_type[type_], of_pool[status]) if type_ in by_type else of_pool[status]
    completed, failed = ({type_: it for type_, it in kept[status].items() if it is not None} for status in ENDED)
    return Policy(completed, failed)


def begun(policy: Policy) -> Pass:
    """A new pass."""
    return Pass(policy, tuple(status for status in ENDED if policy.of(status)))


def next_batch(walk: Pass) -> Batch | None:
    """The next order; None: the pass is at its end."""
    if not walk.statuses:
        return None
    status = walk.statuses[0]
    # Twice as many: unless thousands of rows were created at one moment, the batch then deletes all that it finds.
    return Batch(status, walk.policy.of(status), walk.after, walk.rows, 0 if walk.is_skipping else 2 * walk.rows)


def advanced(walk: Pass, batch: Batch, done: Deleted) -> Pass:
    """The pass after a batch."""
    deleted = dict(walk.deleted)
    for type_, rows in done.rows.items():
        deleted[type_] = deleted.get(type_, 0) + rows
    oldest_left = dict(walk.oldest_left)
    for type_, at in done.oldest_left.items():
        oldest_left[type_] = min(at, oldest_left.get(type_, at))
    walk = replace(
        walk,
        rows=_next_rows(walk.rows, done.seconds),
        is_skipping=False,
        deleted=deleted,
        oldest_left=oldest_left,
        cost_seconds=walk.cost_seconds + done.seconds,
    )
    if batch.most and done.found >= batch.most and done.rows:
        return walk  # more rows of the same moments are left, and they can be deleted
    if done.until is None or (walk.after is not None and done.until <= walk.after):
        return replace(walk, statuses=walk.statuses[1:], after=None)
    return replace(walk, after=done.until)


def held_up(walk: Pass, seconds: float) -> Pass:
    """The pass after a batch that ended at a lock or a timeout: it tries fewer rows, and at last goes past them."""
    is_least = walk.rows <= FEWEST_ROWS
    rows = max(FEWEST_ROWS, walk.rows // 2)
    return replace(walk, rows=rows, is_skipping=is_least, cost_seconds=walk.cost_seconds + seconds)


def rest_seconds(seconds: float) -> float:
    """The rest after a statement that took this long, so that all of them take SHARE of a core."""
    return seconds / SHARE - seconds


def seconds_to_next(walk: Pass) -> float:
    """From the end of this pass to the next."""
    return min(LONGEST_PASS_SECONDS, max(PASS_SECONDS, 1_000 * walk.cost_seconds))


def retained(report: PassReport, policy: Policy, types: Sequence[str], own: Retention) -> Retained:
    """The part of a pass that concerns a pool."""
    left = [report.oldest_left[type_] for type_ in types if type_ in report.oldest_left]
    longer = [type_ for type_ in types if _is_kept_longer(policy, type_, own)]
    notes = [report.message] if report.message else []
    if policy.is_unknown:
        notes.append("a pool of the database can't be used, and its jobs are not known: no job is deleted until it can")
    elif longer:
        notes.append(f"{', '.join(longer)}: another pool of the database handles it too, and keeps its jobs longer")
    deleted = sum(report.deleted.get(type_, 0) for type_ in types)
    return Retained(report.at, deleted, min(left, default=None), "; ".join(notes))


def is_set(retention: Retention) -> bool:
    """Whether any ended job is deleted."""
    return retention.completed_seconds is not None or retention.failed_seconds is not None


def _is_kept_longer(policy: Policy, type_: str, own: Retention) -> bool:
    wanted = {"completed": own.completed_seconds, "failed": own.failed_seconds}
    return any(wanted[status] is not None and policy.of(status).get(type_) != wanted[status] for status in ENDED)


def _longer(one: int | None, other: int | None) -> int | None:
    """None keeps jobs for good."""
    return None if one is None or other is None else max(one, other)


def _next_rows(rows: int, seconds: float) -> int:
    if seconds > LONG_SECONDS:
        return max(FEWEST_ROWS, rows // 2)
    return min(MOST_ROWS, rows * 2) if seconds < SHORT_SECONDS else rows
