"""The run: jobs, faults and hostiles together, then a wait for the last job and worker, then the account."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from dev.chaos.account import Ending, Record, make_account
from dev.chaos.faults import Faults
from dev.chaos.fleet import Fleet
from dev.chaos.hostile import hostile_tenants
from dev.chaos.hostile_namespace import HostileNamespace, hostile_namespace
from dev.chaos.ledger import LedgerReader
from dev.chaos.plan import make_plan
from dev.chaos.producer import Producer
from dev.chaos.report import show
from dev.chaos.scene import (
    HOSTILE_NAMESPACE,
    NAMESPACE,
    accept_claims,
    clear_pools,
    make_hostiles,
    set_scene,
    two_controllers,
)
from dev.chaos.server import PostgresServer
from dev.chaos.settings import Settings
from dev.chaos.strikes import Course, Striker
from dev.chaos.workload import make_workload
from dev.cluster.choose import choose_cluster
from dev.cluster.local.layout import ENDPOINTS
from dev.machine.progress import step
from dev.machine.wait import first_true
from dev.stage.api import Api
from dev.stage.images import ROOT
from dev.stage.node import Node, local_node, require_local
from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE, Stage, set_stage
from dev.stage.watch import Watch

FIGURES = ROOT / "build" / "chaos.json"
INSERTED_WITHIN_SECONDS = 60.0
# An expired lease is found after at most 120 + 30 s; a row whose claim was refused is tried again after 300 s.
EMPTY_WITHIN_SECONDS = 330.0
ZERO_WITHIN_SECONDS = 150.0  # the stabilization, and the drain of a long job
OVERDUE_SECONDS = 5.0
LOOK_SECONDS = 1.0


def run_chaos(settings: Settings, figures: Path = FIGURES) -> bool:
    """Runs jobs and faults until both have ended, and prints the account; True if no rule was violated."""
    cluster = require_local(choose_cluster())
    stage = set_stage()
    try:
        node = local_node(cluster)
        server = PostgresServer.of(stage.kubectl, stage.postgres)
        with two_controllers(stage), node.kept_alive():
            account = make_account(settings, _act(stage, node, server, settings))
            clear_pools(stage)
    finally:
        stage.postgres.close()
        cluster.ensure()
    figures.parent.mkdir(exist_ok=True)
    figures.write_text(json.dumps({**account.figures(), "events": account.events()}, indent=2) + "\n")
    show(account)
    return not account.violations


def _act(stage: Stage, node: Node, server: PostgresServer, settings: Settings) -> Record:
    tenants = set_scene(stage, node.cluster, server)
    reader, hostiles = LedgerReader(server, tenants), make_hostiles(stage, server, settings.seed, tenants[0])
    api, fleet = Api(ENDPOINTS.url, node.credentials), Fleet()
    pools = HostileNamespace(api=api, namespace=HOSTILE_NAMESPACE, seed=settings.seed)
    with _watched(api, fleet):
        producer = Producer(server, make_workload(settings.seed, settings.seconds), tenants)
        producer.start()
        with accept_claims(server), hostile_tenants(hostiles), hostile_namespace(pools):
            course = _strike(Faults(node, server, fleet, api, tenants), reader, settings)
        ending = _wait_until_idle(producer, reader, fleet)
        pools.wait_for_conditions()
    writings = [hostile.writing for hostile in hostiles]
    return Record(producer.inserted, producer.uncertain, course, fleet, reader.read(), ending, writings, pools.writing)


def _strike(faults: Faults, reader: LedgerReader, settings: Settings) -> Course:
    plan = make_plan(settings.seed, settings.seconds)
    striker = Striker(faults, lambda: reader.overdue(OVERDUE_SECONDS) == 0, until=time.time() + settings.seconds)
    with step(f"Running {len(plan)} faults under load", usual=f"{settings.seconds} s"):
        striker.run(plan)
    return striker.course


def _wait_until_idle(producer: Producer, reader: LedgerReader, fleet: Fleet) -> Ending:
    with step("Waiting for the end of every job and of the last worker", usual="60 to 120 s"):
        producer.join(INSERTED_WITHIN_SECONDS)
        # After these deadlines the account shows what is left.
        first_true(lambda: reader.unfinished() == 0, within_seconds=EMPTY_WITHIN_SECONDS, poll_seconds=LOOK_SECONDS)
        first_true(lambda: fleet.living_workers() == 0, within_seconds=ZERO_WITHIN_SECONDS, poll_seconds=LOOK_SECONDS)
    not_inserted = len(producer.arrivals) - len(producer.inserted)
    return Ending(reader.unfinished(), fleet.living_workers(), not_inserted)


@contextlib.contextmanager
def _watched(api: Api, fleet: Fleet) -> Iterator[None]:
    pools, system = f"namespaces/{NAMESPACE}", f"namespaces/{SYSTEM_NAMESPACE}"
    controllers = {"labelSelector": f"app.kubernetes.io/instance={RELEASE}"}
    lease = {"fieldSelector": f"metadata.name={RELEASE}"}
    with (
        Watch(api, f"/api/v1/{pools}/pods", fleet.see_pod),
        Watch(api, f"/api/v1/{system}/pods", fleet.see_pod, controllers),
        Watch(api, f"/apis/apps/v1/{pools}/deployments", fleet.see_deployment),
        Watch(api, f"/apis/coordination.k8s.io/v1/{system}/leases", fleet.see_lease, lease),
    ):
        yield
