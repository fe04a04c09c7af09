"""What the run needs: two controllers, an image with the jobs, a namespace with pools, an empty table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg

from dev.chaos.hostile import Hostile
from dev.chaos.hostile_namespace import quota
from dev.chaos.server import BACK_WITHIN_SECONDS, PostgresServer
from dev.chaos.workload import POOL_OF, TENANTS
from dev.cluster.provider import Cluster
from dev.machine.progress import step
from dev.machine.wait import wait_until
from dev.stage.images import ensure_application_image
from dev.stage.job_table import JobTable
from dev.stage.pools import take_snapshot
from dev.stage.stage import Stage
from jobtide.sql import load

HERE = Path(__file__).parent
NAMESPACE = "chaos"
HOSTILE_NAMESPACE = "chaos-hostile"
HOSTILE_PODS = 10  # at most
POOLS = HERE / "pools.yaml"
IMAGE_IN_POOLS = "jobtide-chaos"


@contextlib.contextmanager
def two_controllers(stage: Stage) -> Iterator[None]:
    """One leads, one can take over; afterwards one, as before."""
    _scale(stage, 2)
    try:
        yield
    finally:
        _scale(stage, 1)


def set_scene(stage: Stage, cluster: Cluster, server: PostgresServer) -> tuple[UUID, ...]:
    """Makes the pools and returns the tenants of this run; removes what an earlier run left."""
    image = ensure_application_image(cluster, "jobtide-chaos", HERE / "app", stage.images.worker)
    stage.make_namespace(NAMESPACE)
    stage.make_namespace(HOSTILE_NAMESPACE)
    stage.kubectl.apply(quota(HOSTILE_NAMESPACE, HOSTILE_PODS), namespace=HOSTILE_NAMESPACE)
    with step("Emptying the pools and the table", usual="5 s"):
        clear_pools(stage)
        table = JobTable(stage.postgres)
        table.clear()
        with server.connect() as conn:
            conn.execute(load("dev.chaos.sql", "setup"))
        tenants = tuple(table.add_tenants(f"chaos {number:02}" for number in range(1, TENANTS + 1)))
    stage.apply_pools(POOLS.read_text().replace(IMAGE_IN_POOLS, image), NAMESPACE)
    return tenants


def make_hostiles(stage: Stage, server: PostgresServer, seed: int, other: UUID) -> tuple[Hostile, Hostile]:
    """One hostile tenant behind the walls, one without; `other` is a tenant that they must not reach."""
    walled, unwalled = JobTable(stage.postgres).add_tenants(("hostile behind walls", "hostile without walls"))
    with contextlib.closing(server.connect()) as conn:
        (user,) = conn.execute(load("dev.chaos.sql", "hostile_user"), {"tenant": walled}).fetchall()[0]
    shared = partial(Hostile, connect=server.connect, other=other, types=sorted(POOL_OF), seed=seed)
    return shared(tenant=walled, user=user), shared(tenant=unwalled)


@contextlib.contextmanager
def accept_claims(server: PostgresServer) -> Iterator[None]:
    """After the block no trigger refuses a claim: the last jobs whose claims were refused can run."""

    def accepted() -> bool:
        with contextlib.suppress(psycopg.OperationalError), contextlib.closing(server.connect()) as conn:
            conn.execute(load("dev.chaos.sql", "accept_claims"))
            return True
        return False

    try:
        yield
    finally:
        wait_until("the end of refusals", accepted, within_seconds=BACK_WITHIN_SECONDS)


def clear_pools(stage: Stage) -> None:
    """Deletes pools, Deployments and pods at once; raises DevError if a pod is left after two minutes."""
    for namespace in (HOSTILE_NAMESPACE, NAMESPACE):
        place = ("--namespace", namespace, "--all", "--ignore-not-found")
        stage.kubectl("delete", "jobworkerpools", *place, "--cascade=foreground", "--timeout", "120s")
        stage.kubectl("delete", "pods", *place, "--force", "--grace-period", "0")
        wait_until(f"the end of the workers in {namespace}", partial(_is_empty, stage, namespace))


def _is_empty(stage: Stage, namespace: str) -> bool:
    return not take_snapshot(stage.kubectl, namespace).workers


def _scale(stage: Stage, replicas: int) -> None:
    with step(f"Setting the number of controllers to {replicas}", usual="3 to 15 s"):
        stage.change(f"replicas={replicas}")
