"""Which types have waited long enough without a pool that a user should be shown them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from jobtide_controller.api.base import PoolRef
from jobtide_controller.decide.reading import Unserved

# The default promise. Another consumer of the same table is expected to be faster, and a user to create the pool.
WAITED_SECONDS = 60.0

# Between two events of one database: a client may insert a new type every second.
EVENT_SECONDS = 600.0

NAMED = 5  # types in a message

COUNTED_JOBS = 1_000  # of one type, at most


class UnservedType(NamedTuple):
    """A type that no pool of the database handles."""

    type: str
    jobs: int
    oldest_age_seconds: float


def unserved_types(found: Mapping[str, Unserved], is_served: Callable[[str], bool]) -> tuple[UnservedType, ...]:
    """Those to show, the most jobs first. `is_served`: whether a pool handles the type now."""
    waiting = [
        UnservedType(type_, *one)
        for type_, one in found.items()
        if one.oldest_age_seconds >= WAITED_SECONDS and not is_served(type_)
    ]
    return tuple(sorted(waiting, key=lambda one: (-one.jobs, one.type)))


def first_of_each_namespace(pools: Iterable[tuple[PoolRef, str]]) -> dict[str, PoolRef]:
    """The first pool, by name, of each namespace: reference by UID. They show what concerns the whole database."""
    first: dict[str, tuple[PoolRef, str]] = {}
    for ref, uid in pools:
        first[ref.namespace] = min(first.get(ref.namespace, (ref, uid)), (ref, uid))
    return {uid: ref for ref, uid in first.values()}
