"""One reading of one database's job table, or the reason why there is none.

Times are seconds since the epoch by the database's clock, ages are seconds. The controller's own clock never
is part of a reading, so a skewed node can't make a job look late.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

OTHERS = ""
"""Stands for a tenant's ID where the tenants of a type are too many to be read one by one: all that are not named."""


class Key(NamedTuple):
    """One tenant's jobs of one type: the unit of all counts."""

    type: str
    tenant_id: str  # or OTHERS


@dataclass(frozen=True, slots=True)
class Depth:
    """The waiting and running rows of one key."""

    due: int = 0  # pending, and allowed to start now
    later: int = 0  # pending, scheduled or backing off
    running: int = 0  # processing
    oldest_age_seconds: float = 0.0  # how long the oldest due row has been due; 0 without one
    mean_age_seconds: float = 0.0  # the same, averaged over the due rows that were counted
    capped: bool = False  # counting stopped: due and later are lower bounds
    next_due_at: float | None = None  # when the first `later` row falls due
    arrivals: int = 0  # rows created since the previous reading
    succeeded: int = 0  # attempts that succeeded since then; not all are looked at
    failed: int = 0  # attempts that ended otherwise since then, including those that will be retried
    tenants: int = 1  # with waiting rows, of OTHERS
    followed: int = 0  # of the attempts that ran at the previous reading, those that were looked at again
    followed_ended: int = 0  # of those, the ones whose job has ended
    followed_seconds: float = 0.0  # how long all that were looked at ran since the previous reading
    about: int = 0  # due rows by a sample of the table, where counting stopped; 0: no sample was taken


# A worker outside Kubernetes is named local-<hex>: the cluster can't report its end, only its lease can expire.
_POD_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_pod_uid(holder: str) -> bool:
    """Whether the holder of a claim is a pod, by the form of its name."""
    return _POD_UID.fullmatch(holder) is not None


@dataclass(frozen=True, slots=True)
class PodRun:
    """The jobs that one worker pod holds, by the claim tokens in the table."""

    running: Mapping[Key, int]  # number of jobs
    lapsed: Mapping[Key, int] = field(default_factory=dict)  # of those, with a lease that is over

    @property
    def jobs(self) -> int:
        return sum(self.running.values())


class Unserved(NamedTuple):
    """The waiting rows of a type that no pool of the database handles."""

    jobs: int  # due and later ones; counting stops at some number
    oldest_age_seconds: float  # how long the oldest counted one has been due; 0 if none is


@dataclass(frozen=True, slots=True)
class Reading:
    """All waiting and running rows of one database at one time, for all pools."""

    taken_at: float
    depths: Mapping[Key, Depth]
    pods: Mapping[str, PodRun] = field(default_factory=dict)  # by pod UID
    query_seconds: float = 0.0  # duration of the statement, by the controller's clock
    unserved: Mapping[str, Unserved] = field(default_factory=dict)  # by type; no part of any pool's slice


class UnreadableReason(StrEnum):
    """Why a database could not be read; each is a reason of the condition DatabaseReachable or SchemaReady."""

    NOT_CONFIGURED = "DatabaseNotConfigured"  # the chart configures no database of that name
    NOT_ALLOWED = "NamespaceNotAllowed"  # the chart does not let the pool's namespace use it; nothing was read
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
    """A failed reading. The workers stay as they are: unknown is not zero."""

    reason: UnreadableReason
    message: str  # the server's message, without passwords
    since: float  # time of the first of these consecutive failures, by the controller's clock


PoolsOfType = Callable[[str], AbstractSet[str]]
"""The UIDs of the pools that handle a type."""


@dataclass(frozen=True, slots=True)
class Slices:
    """One reading split by pool."""

    by_pool: dict[str, Reading]  # by pool UID
    empty: Reading  # shared by all pools without jobs

    def of(self, uid: str) -> Reading:
        """The part of the reading for the pool with this UID."""
        return self.by_pool.get(uid, self.empty)


def slices(reading: Reading, pools_of_type: PoolsOfType) -> Slices:
    """Splits a reading: each pool gets the keys of its types; several pools may get the same key."""
    depths: defaultdict[str, dict[Key, Depth]] = defaultdict(dict)
    running: defaultdict[str, defaultdict[str, dict[Key, int]]] = defaultdict(lambda: defaultdict(dict))
    lapsed = {pod_uid: run.lapsed for pod_uid, run in reading.pods.items()}
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
            pool_depths,
            {pod_uid: _part(counts, lapsed[pod_uid]) for pod_uid, counts in running[uid].items()}
            if uid in running
            else {},
            reading.query_seconds,
        )
        for uid, pool_depths in depths.items()
    }
    return Slices(by_pool, Reading(reading.taken_at, {}, {}, reading.query_seconds))


def _part(running: dict[Key, int], lapsed: Mapping[Key, int]) -> PodRun:
    return PodRun(running, {key: lapsed[key] for key in running if key in lapsed} if lapsed else {})
