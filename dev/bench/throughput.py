"""Whole worker processes against pgbench on the same SQL, and against pgqueuer and procrastinate."""

from __future__ import annotations

import statistics

from dev.bench.environment import peers_python, peers_version
from dev.bench.figures import Figure, median_and_spread
from dev.bench.pgbench import jobs_per_second_of_pgbench
from dev.bench.table import Table
from dev.bench.workers import Jobtide, Peer, jobs_per_second

REPETITIONS = 3
BATCH = 500  # jobs that the worker may hold; pgbench claims as many
PGQUEUER_BATCH = 500
PROCRASTINATE_CONCURRENCY = 30


def measure(table: Table) -> list[Figure]:
    """Returns the rate of one worker over pgbench, and of one and two workers over each other queue."""
    ours = Jobtide(table, concurrency=4, prefetch=BATCH - 4, jobs=40_000)
    pgqueuer, procrastinate = _peers(table)
    rates: dict[str, list[float]] = {}
    for _ in range(REPETITIONS):  # alternating, so that other load on the machine affects all of them
        rates.setdefault("pgbench", []).append(jobs_per_second_of_pgbench(table, BATCH, jobs=ours.jobs))
        for processes in (1, 2):
            for name, contender in (("ours", ours), ("pgqueuer", pgqueuer), ("procrastinate", procrastinate)):
                rates.setdefault(f"{name} {processes}", []).append(jobs_per_second(contender, processes))
    figures = [
        _ratio(
            rates["ours 1"], rates["pgbench"], "worker, of pgbench on the same SQL", 0.8,
            f"1 `jobtide worker` ({ours.settings}) over 1 pgbench client, batches of {BATCH}",
        )
    ]  # fmt: skip
    for name, goal, peer, setting in (
        ("pgqueuer", 1.0, pgqueuer, "batch_size"),
        ("procrastinate", 10.0, procrastinate, "concurrency"),
    ):
        for processes in (1, 2):
            how = (
                f"{ours.settings}; {name} {peers_version(peer.python, name)}, {setting} {peer.setting}, no-op coroutine"
            )
            figures.append(
                _ratio(
                    rates[f"ours {processes}"], rates[f"{name} {processes}"],
                    f"worker over {name}, {processes} process{'es' * (processes - 1)}", goal, how,
                )
            )  # fmt: skip
    return figures


def _peers(table: Table) -> tuple[Peer, Peer]:
    python = peers_python()
    for name in ("pgqueuer", "procrastinate"):
        if not table.connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone():
            table.connection.execute(f"CREATE DATABASE {name}")
    return (
        Peer(
            python, "run_pgqueuer", table.server.url("pgqueuer"), jobs=25_000, setting=PGQUEUER_BATCH,
            is_busy="SELECT EXISTS (SELECT FROM pgqueuer)",
            ends="SELECT created AS at FROM pgqueuer_log WHERE status = 'successful'",
        ),
        Peer(
            python, "run_procrastinate", table.server.url("procrastinate"), jobs=800,
            setting=PROCRASTINATE_CONCURRENCY,
            is_busy="SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
            ends="SELECT at FROM procrastinate_events WHERE type = 'succeeded'",
        ),
    )  # fmt: skip


def _ratio(ours: list[float], theirs: list[float], name: str, goal: float, how: str) -> Figure:
    ratio, spread = median_and_spread([mine / other for mine, other in zip(ours, theirs, strict=True)])
    rates = f"; {statistics.median(ours):,.0f} against {statistics.median(theirs):,.0f} jobs/s"
    return Figure(name, ratio, "x", goal, "higher", how + rates, spread)
