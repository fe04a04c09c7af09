"""Says why a job waits, from the table and, where the caller knows them, from facts about the pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from jobtide.operate.read import JobLine, Moment, lines, moment
from jobtide.operate.session import SECONDS, Connection, rows


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a controller knows of one pool of this database. Its pools together are all that work on the table."""

    name: str  # namespace/name
    types: tuple[str, ...]
    desired: int | None = None
    ready: int | None = None
    paused: str | None = None  # not None: paused; the text says until when, or is empty
    pinned: int | None = None  # spec's fixed number of workers
    limit: str | None = None  # why it has no more workers, in words: "at maxReplicas 40"
    troubles: tuple[str, ...] = ()  # why pods don't start, in Kubernetes' words
    # Running jobs of one tenant over all types of the pool, where the database does not hold the limits itself.
    tenant_cap: int | None = None
    tenant_cap_overrides: Mapping[str, int] = field(default_factory=dict)  # by tenant's UUID

    def cap_of(self, tenant_id: str) -> int | None:
        return self.tenant_cap_overrides.get(tenant_id, self.tenant_cap)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is true of the job. `code` is one of CODES, for icons and filters; `text` is one sentence."""

    code: str
    text: str


CODES = (
    "Completed", "Failed", "Running", "LeaseExpired", "HeldByAnother",
    "NotDue", "UnservedType", "Paused", "PodsNotStarting", "NoWorkers", "TenantAtCap", "BehindTenant", "PoolAtLimit",
    "Pinned", "NothingRuns", "Next",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Caps:
    """Jobs that one tenant may run at once, and until when; None: no limit, and no end."""

    tenant_cap: int | None = None
    tenant_cap_until: Moment | None = None
    tenant_type_cap: int | None = None
    tenant_type_cap_until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """The reasons, the most important one first; there is at least one."""

    job: JobLine
    reasons: tuple[Reason, ...]
    ahead: int  # due jobs of this tenant and type that come before it; at most COUNTED
    tenant_running: int  # over the types that share the tenant's cap, as far as they are known
    tenant_type_running: int  # of this type
    type_running: int  # of all tenants
    tenant_cap: int | None  # over all types of a pool; of several pools the highest
    tenant_cap_until: Moment | None  # when it ends, if it does
    tenant_type_cap: int | None  # of this type, beside the other
    tenant_type_cap_until: Moment | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


COUNTED = 10_000
"""Counts end here: read it as "10,000 or more"."""

_POOLS_LOOKED = 1_000


def why(
    connection: Connection, id_: UUID, pools: Sequence[PoolFacts] | None = None, *, seconds: float = SECONDS
) -> Why | None:
    """Why this job waits, or what became of it; None if there is none. `pools` None: nothing is known of the pools.

    Raises TooSlow, psycopg.Error.
    """
    found = lines(connection, [id_], seconds=seconds)
    if not found:
        return None
    job = found[0]
    serving = tuple(pool for pool in pools or () if job.type in pool.types)
    cap_types = sorted({type_ for pool in serving for type_ in pool.types})
    asked = {"id": id_, "cap_types": cap_types, "most": COUNTED}
    (counts,) = rows(connection, "why", asked, seconds=seconds)
    seconds_to_go = counts.pop("seconds_to_go")
    if job.status == "pending" and seconds_to_go is None:  # it ended, or was deleted, after it was described
        return why(connection, id_, pools, seconds=seconds)
    caps = _caps(_stored(connection, job, None if pools is None else serving, seconds), job.tenant_id, serving)
    known = Why(job, (), **asdict(caps), **counts)
    if job.status == "pending":
        reasons = _waiting(known, seconds_to_go, pools, serving)
    else:
        reasons = iter([_ended_or_running(job, seconds_to_go)])
    return replace(known, reasons=tuple(reasons))


def _stored(
    connection: Connection, job: JobLine, serving: Sequence[PoolFacts] | None, seconds: float
) -> list[dict[str, Any]]:
    """The tenant's limits that the database holds, by pool. None of a database that has no tables for them.

    `serving` None: in which pools the job may run is not known, so those of all pools.
    """
    (tables,) = rows(connection, "has_limits", {}, seconds=seconds, package="jobtide")
    if not (tables["found"] and tables["readable"]):
        return []
    names = None if serving is None else [pool.name for pool in serving]
    asked = {"pools": names, "tenant": job.tenant_id, "type": job.type, "most": _POOLS_LOOKED}
    found = rows(connection, "limits", asked, seconds=seconds)
    return [row for row in found if row["pool"]] or found  # '' is a worker without a pool


def _caps(stored: Sequence[Mapping[str, Any]], tenant_id: str, serving: Sequence[PoolFacts]) -> _Caps:
    """What keeps the job from every pool: one without a cap takes it."""
    in_table = {row["pool"]: (row["cap"], row["cap_until"]) for row in stored}
    of_pools = {pool.name: (pool.cap_of(tenant_id), None) for pool in serving} | in_table
    caps = [(cap, until) for cap, until in of_pools.values() if cap is not None]
    cap, until = max(caps, key=lambda one: one[0]) if caps and len(caps) == len(of_pools) else (None, None)
    typed = next(((row["type_cap"], row["type_cap_until"]) for row in stored), (None, None))
    return _Caps(cap, moment(until), typed[0], moment(typed[1]))


def _ended_or_running(job: JobLine, lease_seconds: float | None) -> Reason:
    if job.status == "completed":
        return Reason("Completed", f"It completed at {job.completed_at}.")
    if job.status == "failed":
        return Reason("Failed", f"It failed at {job.completed_at} in attempt {job.attempts}{_last_error(job)}.")
    if not (job.worker_id or "").startswith("jobtide:"):
        return Reason("HeldByAnother", f"Another consumer of the table holds it: worker_id is {job.worker_id}.")
    if lease_seconds is None or lease_seconds <= 0:
        return Reason(
            "LeaseExpired",
            "The lease of its claim has expired: its worker died or lost its database. Any worker returns it to the "
            "queue within about 30 s.",
        )
    return Reason(
        "Running",
        f"It runs, in attempt {job.attempts}, under the claim {job.worker_id}; the lease lasts "
        f"{_span(lease_seconds)} more.",
    )


def _waiting(
    known: Why, seconds_to_go: float, pools: Sequence[PoolFacts] | None, serving: Sequence[PoolFacts]
) -> Iterator[Reason]:
    """What keeps a pending job from running, in the order in which one hides the next."""
    job = known.job
    if seconds_to_go > 0:
        when = "never" if seconds_to_go == float("inf") else f"at {job.due_at}, in {_span(seconds_to_go)}"
        retry = f"; attempt {job.attempts} ended{_last_error(job)}" if job.attempts and job.error_type else ""
        yield Reason("NotDue", f"It is due {when}{retry}.")
    if pools is not None and not serving:
        yield Reason("UnservedType", f"No pool of this database has the type {job.type}.")
    for pool in serving:
        yield from _of_pool(pool)
    yield from _at_cap(known.tenant_running, known.tenant_cap, known.tenant_cap_until)
    yield from _at_cap(known.tenant_type_running, known.tenant_type_cap, known.tenant_type_cap_until, job.type)
    if known.ahead:
        many = "1 job" if known.ahead == 1 else f"{_number(known.ahead)} jobs"
        yield Reason("BehindTenant", f"Before it in its tenant and type: {many}.")
    for pool in serving:
        if pool.limit:
            yield Reason("PoolAtLimit", f"Pool {pool.name} has no more workers: {pool.limit}.")
    if not known.type_running and not serving:
        yield Reason(
            "NothingRuns",
            "No job of this type runs now. If that stays so, no worker takes this type: see that a pool names it, and "
            "that its workers run.",
        )
    elif seconds_to_go <= 0 and not known.ahead:
        yield Reason("Next", "It is the next one of its tenant and type; tenants take turns.")


def _at_cap(running: int, cap: int | None, until: Moment | None, type_: str | None = None) -> Iterator[Reason]:
    if cap is None or running < cap:
        return
    if cap:
        text = f"Its tenant runs {_number(running)} of at most {cap} jobs{f' of type {type_}' if type_ else ''} at once"
    else:
        text = f"Its tenant is paused{f' for type {type_}' if type_ else ''}: its limit is 0"
    yield Reason("TenantAtCap", f"{text}, until {until}." if until else f"{text}.")


def _of_pool(pool: PoolFacts) -> Iterator[Reason]:
    if pool.paused is not None:
        yield Reason("Paused", f"Pool {pool.name} is paused{f' {pool.paused}' if pool.paused else ''}.")
    if pool.troubles:
        yield Reason("PodsNotStarting", f"Pods of pool {pool.name} don't start: {'; '.join(pool.troubles)}.")
    elif pool.ready == 0 and pool.paused is None:
        yield Reason("NoWorkers", f"Pool {pool.name} has no worker that is ready; it asks for {pool.desired or 0}.")
    if pool.pinned is not None:
        yield Reason("Pinned", f"Pool {pool.name} is pinned to {pool.pinned} workers.")


def _last_error(job: JobLine) -> str:
    words = ": ".join(text for text in (job.error_type, job.error_message) if text)
    return f" with {words}" if words else ""


def _number(count: int) -> str:
    return f"{count:,} or more" if count >= COUNTED else f"{count:,}"


def _span(seconds: float) -> str:
    """5,400 s: 90 m. The largest unit of which there are at least two."""
    unit, length = next(((unit, length) for unit, length in _UNITS if seconds >= 2 * length), _UNITS[-1])
    return f"{seconds / length:.0f} {unit}"


_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
