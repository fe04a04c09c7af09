"""`top`: depth per type and per tenant, of one or all pools, as last reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobtide.commands.table import aligned
from jobtide.printable import printable
from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec, JobWorkerPoolStatus
from jobtide_controller.plugin import windows
from jobtide_controller.plugin.text import ago, is_known, oldest
from jobtide_controller.render import display, sentence
from jobtide_controller.render.tenant_limits import limit_words

TYPES = ("POOL", "TYPE", "PENDING", "SCHEDULED", "RUNNING", "OLDEST", "PROMISE", "TENANTS", "SECONDS/JOB")
TENANTS = ("POOL", "TENANT", "PENDING", "RUNNING", "OLDEST", "LIMIT")

UNSERVED = ("DATABASE", "TYPE WITHOUT A POOL", "PENDING", "OLDEST")

Row = Sequence[str]


def render(pools: Sequence[JobWorkerPool], now: float, *, namespaces: bool) -> str:
    """Returns the tables. `now` is in seconds since 1970; `namespaces` shows pools as namespace/name."""
    names = {id(pool): _name(pool, namespaces=namespaces) for pool in pools}
    types = [row for pool in pools for row in _types(names[id(pool)], pool.spec, pool.status or JobWorkerPoolStatus())]
    tenants = [row for pool in pools for row in _tenants(names[id(pool)], pool.status or JobWorkerPoolStatus())]
    parts = [aligned([TYPES, *types], "<<")]
    if tenants:
        parts.append(aligned([TENANTS, *tenants], "<<>>><"))
    unserved = [row for pool in pools for row in _unserved(pool)]
    if unserved:
        parts.append(aligned([UNSERVED, *unserved], "<<"))
    notes = [printable(note) for pool in pools if (note := _note(names[id(pool)], pool.status, now))]
    if notes:
        parts.append(notes)
    return "\n\n".join("\n".join(part) for part in parts)


def no_pools(namespace: str | None) -> str:
    """What there is to say without pools in this namespace; None: in all namespaces."""
    if namespace is None:
        return "no pools in any namespace"
    return f"no pools in namespace {namespace}; -n chooses another one, -A shows all"


def _name(pool: JobWorkerPool, *, namespaces: bool) -> str:
    return f"{pool.metadata.namespace}/{pool.metadata.name}" if namespaces else pool.metadata.name


def _types(name: str, spec: JobWorkerPoolSpec, status: JobWorkerPoolStatus) -> Iterator[Row]:
    known, of_pool = is_known(status), windows.promise_of(spec, status.schedule)
    for entry in status.types:
        numbers = (
            display.count(entry.pending),
            display.count(entry.scheduled),
            display.count(entry.processing),
            oldest(entry.oldest_seconds, entry.pending),
        )
        promise = of_pool if entry.promise_seconds is None else entry.promise_seconds
        yield (
            name,
            entry.type,
            *(numbers if known else [display.UNKNOWN] * len(numbers)),
            display.NONE if promise is None else display.age(promise),
            display.count(entry.tenants) if known else display.UNKNOWN,
            f"{entry.service_seconds:.3g}" if entry.learned is not None else display.NONE,
        )


def _tenants(name: str, status: JobWorkerPoolStatus) -> Iterator[Row]:
    """No rows while the table can't be read: the stored tenants are out of date then."""
    if not is_known(status):
        return
    for entry in status.tenants:
        yield (
            name,
            entry.tenant,
            display.count(entry.pending),
            display.count(entry.processing),
            oldest(entry.oldest_seconds, entry.pending),
            limit_words(entry) or display.NONE,
        )


def _unserved(pool: JobWorkerPool) -> Iterator[Row]:
    """Types that no pool of the database handles; one pool of the namespace has them."""
    for entry in pool.status.unserved if pool.status is not None else ():
        age = oldest(entry.oldest_seconds, entry.pending)
        yield (pool.spec.database, entry.type, sentence.jobs(entry.pending), age)


def _note(name: str, status: JobWorkerPoolStatus | None, now: float) -> str | None:
    """What a reader must know about the numbers of this pool."""
    if status is None or not status.conditions:
        return f"{name}: no controller has reported on it yet"
    if not is_known(status):
        read = "never" if status.last_read_time is None else ago(status.last_read_time, now)
        return f"{name}: {status.reason}, last read {read}: {status.message}"
    more = (status.tenants_total or 0) - len(status.tenants)
    return f"{name}: {more} more tenants" if status.tenants and more > 0 else None
