"""10,000 pools: their cost for the controller, the API server and the database while no job arrives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psycopg

from dev.bench.figures import Figure
from dev.bench.pools.cluster import Cluster, cluster, job_type, manifest
from dev.bench.pools.controller import Controller, controller
from dev.bench.pools.copies import copy_pods, copy_pool, first_pod
from dev.machine.errors import DevError
from dev.machine.wait import wait_until
from dev.postgres.server import Server
from jobtide.schema import apply

POOLS = 10_000
JOBS = 100
IDLE_SECONDS = 60.0
QUIET_CORES = 0.15  # below, the work after the start is done
SAMPLE_SECONDS = 5.0
CALM_SAMPLES = 5  # longer than the pause before the first resync
PODS = 500
EVENTS = 5_000
EVENTS_WITHIN_SECONDS = 300.0
READING = "WITH RECURSIVE clock"  # how the statement of readings.sql begins


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL statements that one controller sends, from pg_stat_statements; BEGIN and COMMIT count."""

    per_reading: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Site:
    """One API server, one database, one controller."""

    folder: Path
    cluster: Cluster
    jobs: psycopg.Connection

    @contextmanager
    def controller(self) -> Iterator[Controller]:
        with controller(self.folder, self.cluster.plane.kubeconfig, self.folder / "databases") as running:
            yield running

    def statements(self, seconds: float) -> Statements:
        """What the controller sends in `seconds`. Rounding leaves out its checks of the schema, two a minute."""
        self.jobs.execute("SELECT pg_stat_statements_reset()")
        started = monotonic()
        sleep(seconds)
        rows = self.jobs.execute("SELECT calls, query FROM pg_stat_statements").fetchall()
        passed = monotonic() - started
        readings = next((calls for calls, query in rows if query.startswith(READING)), 0)
        if not readings:
            raise DevError(f"the controller read nothing for {passed:.0f} s: the machine is too busy to measure it")
        return Statements(sum(round(calls / readings) for calls, _ in rows), sum(calls for calls, _ in rows) / passed)

    def insert(self, type_: str, count: int, *, claimed_by: str | None = None) -> None:
        """Inserts pending jobs, or jobs that the worker `claimed_by` runs in its first attempt."""
        self.jobs.execute(
            """INSERT INTO job_queue (tenant_id, type, status, worker_id, attempts)
               SELECT (SELECT id FROM tenants LIMIT 1), %(type)s, %(status)s, %(worker)s, %(attempts)s
               FROM generate_series(1, %(count)s)""",
            {
                "type": type_,
                "count": count,
                "status": "pending" if claimed_by is None else "processing",
                "worker": claimed_by,
                "attempts": 0 if claimed_by is None else 1,
            },
        )

    def count(self, status: str) -> int:
        row = self.jobs.execute("SELECT count(*) FROM job_queue WHERE status = %s::job_status", [status]).fetchone()
        assert row is not None
        return int(row[0])

    def clear(self) -> None:
        self.jobs.execute("DELETE FROM job_queue")


def measure(postgres_version: int) -> list[Figure]:
    """Returns memory, CPU and statements with POOLS idle pools, the time to a decision, and watch events a second."""
    with site(postgres_version) as here:
        alone, alone_mb = _one_pool(here)
        copy_pool(here.cluster, 0, range(1, POOLS))
        here.cluster.await_pools(POOLS)
        here.insert(job_type(POOLS - 1), JOBS)
        with here.controller() as running:
            first = running.seconds_until(lambda: f"{POOLS - 1:05d}: 0 -> " in running.words, what="deciding")
            here.clear()
            quiet = _await_quiet(running)
            cpu_before = running.cpu_seconds
            started = monotonic()
            many = here.statements(IDLE_SECONDS)
            cores = (running.cpu_seconds - cpu_before) / (monotonic() - started)
            resident, peak = running.resident_mb, running.peak_mb
            events = _events_per_second(here)
    how = f"{POOLS:,} pools with a type and a Deployment each, a real API server and database, no jobs"
    return [
        Figure("10,000 pools: controller resident memory", resident, "MB", 250, "lower",
               f"VmRSS; {how}; {alone_mb:.0f} MB with 1 pool, peak since the start {peak:.0f} MB"),
        Figure("10,000 pools: controller idle CPU", cores, "cores", 0.1, "lower",
               f"over {IDLE_SECONDS:.0f} s between two resyncs; {how}"),
        Figure("statements per reading, 10,000 pools against 1", many.per_reading / alone.per_reading, "x", 1, "lower",
               f"pg_stat_statements, idle; {many.per_reading} against {alone.per_reading}, BEGIN and COMMIT included; "
               f"{many.per_second:.1f} against {alone.per_second:.1f} a second"),
        Figure("10,000 pools: start to first decision", first, "s", None, "lower",
               f"from exec to the scale-up of the pool that has {JOBS} jobs; idle after {quiet:.0f} s"),
        Figure("watch events", events, "events/s", None, "higher",
               f"{EVENTS:,} updates of {PODS} worker pods at once, beside {POOLS:,} pools, until the jobs of a pod "
               "deleted after them are back in the queue"),
    ]  # fmt: skip


@contextmanager
def site(postgres_version: int) -> Iterator[Site]:
    """Starts PostgreSQL and an API server, with one tenant and no job; both end with the block."""
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory() as name,
        Server(version=postgres_version, settings=settings) as server,
        cluster(Path(name) / "plane") as running,
    ):
        url = server.url()
        apply(url)
        configured = Path(name, "databases", "main")
        configured.mkdir(parents=True)
        (configured / "url").write_text(url)
        with psycopg.connect(url, autocommit=True) as jobs:
            jobs.execute("CREATE EXTENSION pg_stat_statements")
            jobs.execute("INSERT INTO tenants DEFAULT VALUES")
            yield Site(Path(name), running, jobs)


def _one_pool(here: Site) -> tuple[Statements, float]:
    """Statements and MB of a controller with one pool, which is complete and can be copied afterwards."""
    here.cluster.add(manifest(0))
    with here.controller() as running:
        here.cluster.await_fleet(0)
        _await_quiet(running)
        return here.statements(10), running.resident_mb


def _await_quiet(running: Controller, within_seconds: float = 300.0) -> float:
    """Seconds from the start of the controller until it is idle, by its own CPU time."""
    calm = 0
    while calm < CALM_SAMPLES:
        before = running.cpu_seconds
        sleep(SAMPLE_SECONDS)
        is_calm = running.cpu_seconds - before < SAMPLE_SECONDS * QUIET_CORES
        calm = calm + 1 if is_calm else 0
        if monotonic() - running.started_at > within_seconds:
            raise DevError(f"the controller still works {within_seconds:g} s after its start with nothing to do")
    return monotonic() - running.started_at - CALM_SAMPLES * SAMPLE_SECONDS


def _events_per_second(here: Site) -> float:
    """Events of one kind arrive in order: when the last one has its effect, all were processed."""
    uid = first_pod(here.cluster)
    update = copy_pods(here.cluster, range(1, PODS))
    here.insert(job_type(0), 1, claimed_by=f"jobtide:{uid}:1")
    started = monotonic()
    for _ in range(EVENTS // PODS):
        update()
    here.cluster.delete_first_pod()
    wait_until(
        f"the effect of the last of {EVENTS:,} events",
        lambda: not here.count("processing"),
        within_seconds=EVENTS_WITHIN_SECONDS,
        poll_seconds=0.05,
    )
    return EVENTS / (monotonic() - started)
