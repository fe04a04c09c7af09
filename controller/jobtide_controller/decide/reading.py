"""What the table says: one reading of one database, or the reason why there is none.

Times are seconds since the epoch by the database's clock, ages are seconds. The controller's own clock never
enters a reading, so a skewed node can't make a job look late.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Key(NamedTuple):
    """The grain of every count: one tenant's jobs of one type."""

    type: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How much one tenant waits for, and runs, of one type."""

    due: int = 0  # pending, and allowed to start now
    later: int = 0  # pending, scheduled or backing off
    running: int = 0  # processing
    oldest_age_seconds: float = 0.0  # how long the oldest due row has been due; 0 where none is
    mean_age_seconds: float = 0.0  # the same, averaged over the due rows that were counted
    capped: bool = False  # counting stopped: due and later are at least this
    next_due_at: float | None = None  # when the first `later` row falls due
    arrivals: int = 0  # rows created since the previous reading
    succeeded: int = 0  # attempts that were seen to end well since then; not all are looked at
    failed: int = 0  # attempts that were seen to end otherwise, those that will be tried again among them


# A worker outside Kubernetes calls itself local-<hex>: no cluster can say that it is gone, only its lease can.
_POD_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_pod_uid(holder: str) -> bool:
    """Whether the holder of a claim is a pod."""
    return _POD_UID.fullmatch(holder) is not None


@dataclass(frozen=True, slots=True)
class PodRun:
    """What one worker pod holds, by the claim tokens in the table."""

    running: Mapping[Key, int]

    @property
    def jobs(self) -> int:
        return sum(self.running.values())


@dataclass(frozen=True, slots=True)
class Reading:
    """One database at one moment: every key that waits or runs, whatever pools there are."""

    taken_at: float
    depths: Mapping[Key, Depth]
    pods: Mapping[str, PodRun] = field(default_factory=dict)  # by pod UID
    query_seconds: float = 0.0  # what the statement cost, by our clock


class UnreadableReason(StrEnum):
    """Why a database could not be read; each is a reason of the condition DatabaseReachable or SchemaReady."""

    NOT_CONFIGURED = "DatabaseNotConfigured"  # no such name among the chart's databases
    UNREACHABLE = "Unreachable"
    AUTH_FAILED = "AuthFailed"
    TLS_FAILED = "TLSFailed"
    TIMEOUT = "Timeout"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    RLS_HIDES_ROWS = "RLSHidesRows"
    STANDBY = "Standby"
    TABLE_MISSING = "TableMissing"
    GRANT_MISSING = "GrantMissing"
    SCHEMA_WRONG = "SchemaWrong"
    QUERY_FAILED = "QueryFailed"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No reading. It holds the fleet as it is: unknown is not zero."""

    reason: UnreadableReason
    message: str  # the server's own words, never a password
    since: float  # when the first failure of this run of failures was seen, controller clock


PoolsOfType = Callable[[str], AbstractSet[str]]


@dataclass(frozen=True, slots=True)
class Slices:
    """By pool UID. A pool without jobs shares the one empty reading."""

    by_pool: dict[str, Reading]
    empty: Reading

    def of(self, uid: str) -> Reading:
        return self.by_pool.get(uid, self.empty)


def slices(reading: Reading, pools_of_type: PoolsOfType) -> Slices:
    depths: defaultdict[str, dict[Key, Depth]] = defaultdict(dict)
    running: defaultdict[str, defaultdict[str, dict[Key, int]]] = defaultdict(lambda: defaultdict(dict))
    for key, depth in reading.depths.items():
        for uid in pools_of_type(key.type):
            depths[uid][key] = depth
    for pod_uid, run in reading.pods.items():
        for key, count in run.running.items():
            for uid in pools_of_type(key.type):
                running[uid][pod_uid][key] = count
    by_pool = {
        uid: Reading(
            reading.taken_at,
            mine,
            {pod_uid: PodRun(counts) for pod_uid, counts in running[uid].items()} if uid in running else {},
            reading.query_seconds,
        )
        for uid, mine in depths.items()
    }
    return Slices(by_pool, Reading(reading.taken_at, {}, {}, reading.query_seconds))
