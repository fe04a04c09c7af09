"""An upgrade from the release before this one and the way back, as docs/operations.md has them, while jobs run.

stays   its workers have the image of the release before throughout
moves   its image becomes that of this release between the upgrade and the rollback
grows   one worker for each of its jobs: the controller of the moment makes the next one
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from dev.cluster.choose import choose_cluster
from dev.machine.shell import run
from dev.release.installed import ensure_before
from dev.stage.images import ensure_application_image, ensure_images_before
from dev.stage.job_table import JobTable
from dev.stage.postgres import CONTROLLER, WORKER
from dev.stage.stage import CHART, RELEASE, SYSTEM_NAMESPACE, WORKER_SECRET, Stage
from dev.stage.watch import Event, EventLog, KubectlSource
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.pod_life import of_runs
from tests.e2e.work import UNTIL_LET_GO, Work, wait_for

HERE = Path(__file__).parent
DATABASE = "upgraded"
WITHOUT_LEADER_SECONDS = 20  # a leader that is killed is missed for 9, and machines that run tests stand still at times


@dataclass(frozen=True, slots=True)
class Release:
    """One release's program, chart and images, for a database of its own."""

    stage: Stage
    python: Path
    chart: Path
    image: str  # of the workers

    def apply_schema(self) -> None:
        url = self.stage.postgres.url(DATABASE)
        run([self.python, "-m", "jobtide", "schema", "apply", "--roles"], environ={"JOBTIDE_DATABASE_URL": url})

    def install(self) -> None:
        url = self.stage.postgres.service_url(DATABASE, CONTROLLER)
        self.stage.install({DATABASE: url}, chart=self.chart)


@pytest.fixture
def now(stage: Stage, image: str) -> Release:
    return Release(stage, Path(sys.executable), CHART, image)


@pytest.fixture
def before(stage: Stage) -> Release:
    cluster, found = choose_cluster(), ensure_before()
    controller, worker = ensure_images_before(cluster, found.tree)
    image = ensure_application_image(cluster, "jobtide-e2e-before", HERE / "app", worker)
    there = replace(stage, images=replace(stage.images, controller=controller))
    return Release(there, found.python, found.tree / CHART.relative_to(CHART.parents[1]), image)


@pytest.fixture
def upgrading(work: Work, before: Release) -> Iterator[Work]:
    """In a database that has the schema of the release before, with its controller."""
    postgres = work.stage.postgres
    with postgres.connect("postgres") as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")  # of a run that was killed
        admin.execute(f"CREATE DATABASE {DATABASE}")
    before.apply_schema()
    table = JobTable(postgres, DATABASE)
    table.clear()
    (tenant,) = table.add_tenants([work.namespace])
    work.stage.kubectl.apply_secret(work.namespace, WORKER_SECRET, {"url": postgres.service_url(DATABASE, WORKER)})
    before.install()
    yield replace(work, table=table, tenant=tenant, image=before.image)
    work.stage.install()


@pytest.fixture
def lease(stage: Stage, upgrading: Work) -> Iterator[EventLog]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases"
    with EventLog(KubectlSource(stage.kubectl), path, fieldSelector=f"metadata.name={RELEASE}") as lease:
        yield lease


def test_an_upgrade_and_its_way_back_cut_no_job_and_replace_no_worker(
    upgrading: Work, now: Release, lease: EventLog
) -> None:
    work = upgrading
    for name in ("stays", "moves"):
        apply_pool(work, name, replicas=1, concurrency=4)
    apply_pool(work, "grows", jobsPerWorker=1, maxReplicas=3, scaleDown={"stabilizationSeconds": 300})
    with work.watch("pods") as pods, work.watch("deployments") as deployments:
        long = [*begin_long(work, "stays", "moves", "grows")]
        short = run_short(work)

        now.apply_schema()
        now.install()
        long += begin_long(work, "grows")
        short += run_short(work)

        move(work, "moves", now.image)
        short += run_short(work)

        work.stage.helm("rollback", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", "180s")
        long += begin_long(work, "grows")
        short += run_short(work)
        work.kubectl("wait", "jobworkerpools", "--all", "--for", "condition=Ready", "--timeout", "60s")

        work.let_go()
        rows = work.wait_completed(*long, *short)
        stopped = {
            event.name: pool_of(event) for event in pods.events if "deletionTimestamp" in event.object["metadata"]
        }

    assert [row.attempts for row in rows] == [1] * len(rows)
    # Without claims of short jobs that the stopped worker of `moves` returned before it started them.
    runs = [[change.became for change in of_runs(changes)] for changes in work.history(long + short).values()]
    assert runs == [["processing", "completed"]] * len(rows)
    assert list(stopped.values()) == ["moves"]
    assert templates(deployments.events) == {"stays": 1, "moves": 2, "grows": 1}
    assert numbers_of(deployments.events, "grows") == [0, 1, 2, 3]
    gaps = without_leader(lease.events)
    print("seconds without a leader:", gaps)  # noqa: T201 - pytest shows it if the test failed
    assert len(gaps) >= 2  # and one before, if the controller that was there has not ended yet
    assert max(gaps) < WITHOUT_LEADER_SECONDS


def apply_pool(work: Work, name: str, **spec: object) -> None:
    work.apply_pool(name, [f"{name}.hold"], database=DATABASE, drainSeconds=280, **spec)


def begin_long(work: Work, *pools: str) -> list[UUID]:
    """A job in each of these pools, which has begun; they end with `let_go`."""
    jobs = [job for pool in pools for job in work.insert(f"{pool}.hold", UNTIL_LET_GO)]
    wait_for("the long jobs being run", lambda: all(work.row(job).status == "processing" for job in jobs))
    return jobs


def run_short(work: Work) -> list[UUID]:
    """Jobs of both pools, which have ended while the long ones go on."""
    jobs = [job for pool in ("stays", "moves") for job in work.insert(f"{pool}.hold", {"seconds": 0}, count=5)]
    work.wait_completed(*jobs)
    return jobs


def move(work: Work, pool: str, image: str) -> None:
    """Gives the pool's workers another image; returns when one that has it is ready."""
    path = "/spec/template/spec/containers/0/image"
    work.kubectl(
        "patch", "jwp", pool, "--type=json", "--patch", json.dumps([{"op": "replace", "path": path, "value": image}])
    )
    wait_for(
        f"a worker of {pool} with the new image",
        lambda: any(
            pod["spec"]["containers"][0]["image"] == image and pod["metadata"]["name"] in work.ready_pods(pool)
            for pod in work.pods()
        ),
    )


def pool_of(event: Event) -> str:
    """The pool of a pod or of a Deployment."""
    return str(event.object["metadata"]["labels"][POOL_LABEL])


def templates(deployments: Iterable[Event]) -> dict[str, int]:
    """How many different pod templates each pool's Deployment had."""
    seen: dict[str, set[str]] = {}
    for event in deployments:
        seen.setdefault(pool_of(event), set()).add(json.dumps(event.object["spec"]["template"], sort_keys=True))
    return {pool: len(found) for pool, found in seen.items()}


def numbers_of(deployments: Iterable[Event], pool: str) -> list[int]:
    """The numbers of workers that the pool was given, one after the other."""
    numbers = [event.object["spec"]["replicas"] for event in deployments if pool_of(event) == pool]
    return [0, *(after for before, after in pairwise([0, *numbers]) if after != before)]


def without_leader(lease: Iterable[Event]) -> list[float]:
    """Between the last renewal of each leader and the next one's start, in seconds of their clocks."""
    held = [event.object["spec"] for event in lease if event.object["spec"].get("holderIdentity")]
    return [
        seconds(after["acquireTime"]) - seconds(before["renewTime"])
        for before, after in pairwise(held)
        if after["holderIdentity"] != before["holderIdentity"]
    ]


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
