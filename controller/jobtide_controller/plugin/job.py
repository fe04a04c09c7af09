"""`why --job`: why one job waits, from the database and the statuses of all pools that use it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jobtide.commands.jobs_read import explain
from jobtide.errors import JobtideError
from jobtide.operate.why import PoolFacts
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.reading import UnreadableReason
from jobtide_controller.plugin.cluster import Kubectl, PluginError
from jobtide_controller.pool_facts import pool_facts


def run(kubectl: Kubectl, flags: argparse.Namespace) -> None:
    """Prints the reasons. `flags` has id, database_url, database and json. Raises PluginError."""
    if flags.namespace is not None:
        raise PluginError("--job needs the pools of all namespaces, which share the database: leave out -n")
    pools = _of_database([pool for pool in kubectl.pools(all_namespaces=True) if _may_work(pool)], flags.database)
    try:
        explain(flags, [_facts(pool) for pool in pools])
    except JobtideError as error:
        raise PluginError(str(error)) from None


def _may_work(pool: JobWorkerPool) -> bool:
    """False for a pool whose namespace may not use its database: it handles no job."""
    return pool.status is None or pool.status.reason != UnreadableReason.NOT_ALLOWED


def _of_database(pools: Sequence[JobWorkerPool], name: str | None) -> Sequence[JobWorkerPool]:
    """The pools that use the database, by its name in the pools: a URL does not say it."""
    names = sorted({pool.spec.database for pool in pools})
    if name is None and len(names) > 1:
        raise PluginError(f"pools use the databases {', '.join(names)}: say with --database which one the URL leads to")
    if name is not None and name not in names:
        raise PluginError(f"no pool uses the database {name}; pools use {', '.join(names) or 'none'}")
    return [pool for pool in pools if name in {None, pool.spec.database}]


def _facts(pool: JobWorkerPool) -> PoolFacts:
    status = pool.status
    found = pool.as_object()
    name = f"{pool.metadata.namespace}/{pool.metadata.name}"
    is_reported = status is not None and bool(status.conditions)
    return pool_facts(
        name,
        pool.spec.types,
        found["spec"],
        found.get("status") or {},
        desired=status.desired_replicas if status is not None and is_reported else None,
        ready=status.ready_replicas if status is not None and is_reported else None,
    )
