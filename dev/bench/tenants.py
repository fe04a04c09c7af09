"""What 100,000 tenants with due jobs, of a million known ones, cost the controller; and how soon it still reacts."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, process_time, sleep
from uuid import UUID

from dev.bench.depth import reader_of
from dev.bench.figures import Figure, seconds_of, spread
from dev.bench.table import Table
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Reading
from jobtide_controller.decide.scaling import decide
from jobtide_controller.loop.interval import Interval
from jobtide_controller.postgres.readings import Reader

BUSY, KNOWN, DECIDED = 100_000, 1_000_000, 10_000
REACTIONS = 20
WATCHED_SECONDS = 20.0
TYPES = ["busy", "rare"]
POOL = JobWorkerPoolSpec.model_validate(
    {"types": ["busy"], "maxReplicas": 40, "template": {"spec": {"containers": [{"name": "worker", "image": "x"}]}}}
)


def measure(table: Table) -> list[Figure]:
    """Returns the cost of readings at the controller's own pace, the reaction of a type at zero, and one decision."""
    known = table.tenants(KNOWN)
    table.clear()
    with table.without_indexes():
        table.run("INSERT INTO job_queue (tenant_id, type, status) SELECT id, 'busy', 'completed' FROM tenants")
        table.fill("busy", BUSY, known[:BUSY])
    table.vacuum()
    with reader_of(table) as reader:
        watched, share = _watched(reader)
        reactions = _reactions(table, reader, known)
        lap_seconds = _lap_seconds(reader)
    table.refill("busy", DECIDED, known[:DECIDED])
    with reader_of(table) as reader:
        decisions = _decisions(reader)
    table.run("UPDATE job_queue SET next_retry_at = now() + interval '1 hour'")
    table.vacuum()
    polls = _idle_polls(table)
    setting = f"{BUSY:,} tenants with a due job of one type, {KNOWN:,} with an ended one"
    costs = [reading.query_seconds * 1e3 for reading in watched]
    return [
        Figure("many tenants: one reading", statistics.median(costs), "ms", 50, "lower",
               f"{setting}; settings, round trips and the last slice included; median of {len(costs)}", spread(costs)),
        Figure("many tenants: readings, of a core", share * 100, "%", 5, "lower",
               f"{setting}; CPU time of the server's process over {WATCHED_SECONDS:g} s at the controller's pace"),
        Figure("many tenants: reaction from zero, p95", sorted(reactions)[-2], "s", 0.5, "lower",
               f"{setting}; commit of a job of another type until a reading has it; second slowest of {REACTIONS}",
               spread(reactions)),
        Figure("many tenants: age of a tenant's numbers", lap_seconds, "s", 30, "lower", f"{setting}; one lap"),
        Figure(f"one decision, {DECIDED:,} tenants", statistics.median(decisions), "ms", 5, "lower",
               f"CPU time; {DECIDED:,} tenants with a due job; median of {len(decisions)}", spread(decisions)),
        Figure(f"idle poll, {DECIDED:,} tenants", statistics.median(polls), "ms", 1, "lower",
               f"each has a scheduled job only; median of {len(polls)}", spread(polls)),
    ]  # fmt: skip


def _paced(reader: Reader) -> Iterator[Reading]:
    """Readings as often as the controller makes them."""
    interval, cost = Interval(), 0.0
    while True:
        started = monotonic()
        reading = reader.read(TYPES)
        if not isinstance(reading, Reading):
            raise RuntimeError(f"the table can't be read: {reading}")  # noqa: TRY004
        cost += 0.3 * (reading.query_seconds - cost)
        yield reading
        sleep(max(0.0, started + interval.after(cost, 0) - monotonic()))


def _watched(reader: Reader) -> tuple[list[Reading], float]:
    """The readings of some seconds, after the first ones, and the part of a core that they took."""
    readings = _paced(reader)
    for _ in range(5):
        next(readings)
    server = reader.session.connect().info.backend_pid
    began, used = monotonic(), _cpu_seconds(server)
    found = []
    while monotonic() < began + WATCHED_SECONDS:
        found.append(next(readings))
    return found, (_cpu_seconds(server) - used) / (monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reactions(table: Table, reader: Reader, tenants: list[UUID]) -> list[float]:
    """The job comes right after a reading: the longest pause is before it."""
    found = []
    readings = _paced(reader)
    for number in range(REACTIONS):
        next(readings)
        table.run("INSERT INTO job_queue (tenant_id, type) VALUES (%(tenant)s, 'rare')", tenant=tenants[-1 - number])
        inserted = monotonic()
        while not any(key.type == "rare" and depth.due for key, depth in next(readings).depths.items()):
            pass
        found.append(monotonic() - inserted)
        table.run("DELETE FROM job_queue WHERE type = 'rare'")
        next(readings)
    return found


def _lap_seconds(reader: Reader) -> float:
    began = None
    for _ in _paced(reader):
        if reader.at_the_first_tenant("busy"):
            if began is not None:
                return monotonic() - began
            began = monotonic()
    raise AssertionError


def _idle_polls(table: Table) -> list[float]:
    """After more polls than a plan cache needs."""
    queue = PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600)
    ring = Ring(("busy",))
    for _ in range(25):
        queue.claim(ring, 4, 4)
    polls = [seconds_of(lambda: queue.claim(ring, 4, 4)) * 1e3 for _ in range(200)]
    queue.close()
    return polls


def _decisions(reader: Reader) -> list[float]:
    history, costs = History(), []
    for number, reading in zip(range(20), _paced(reader), strict=False):
        started = process_time()
        decision = decide(POOL, reading, Fleet(current_replicas=1), history, 2_000_000_000.0 + number)
        costs.append((process_time() - started) * 1e3)
        history = decision.history
    return costs
