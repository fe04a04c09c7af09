"""Whole worker processes against the other queues, and against pgbench on the same SQL."""

from __future__ import annotations

from dev.bench.comparison import Comparison, Queue
from dev.bench.figures import Figure, median_and_spread
from dev.bench.peers.catalogue import JOBTIDE
from dev.bench.peers.contender import Runner
from dev.bench.pgbench import jobs_per_second_of_pgbench
from dev.bench.race import Race
from dev.bench.settle import until_settled
from dev.bench.table import Table

BATCH = 500  # jobs that the worker may hold; pgbench claims as many
WITHIN_SECONDS = 200.0
COLUMNS = ("1 process", "2 processes")
GOALS = {"river": 1.2, "graphile": 1.2, "pgqueuer": 1.5, "awa": 1.0, "procrastinate": 10.0}


def measure(table: Table) -> tuple[Comparison, list[Figure]]:
    """Returns the rates of one and two workers beside those of each other queue, and one worker's over pgbench."""
    race = Race(table)
    rates: dict[str, dict[str, list[float]]] = {
        runner.contender.name: {column: [] for column in COLUMNS} for runner in race.runners
    }
    over_pgbench: list[float] = []
    settling = [values for columns in rates.values() for values in columns.values()]
    for _ in until_settled(*settling, within_seconds=WITHIN_SECONDS):
        pgbench = jobs_per_second_of_pgbench(table, BATCH, JOBTIDE.jobs)
        for processes, column in enumerate(COLUMNS, start=1):
            for runner in list(race.runners):  # in turn, so that other load on the machine affects all of them
                race.attempt(runner, lambda r=runner, n=processes, c=column: _add(rates, r, n, c))  # type: ignore[misc]
        over_pgbench.append(rates[JOBTIDE.name][COLUMNS[0]][-1] / pgbench)
    queues = [
        Queue(r.contender.name, r.contender.settings, rates[r.contender.name], GOALS.get(r.contender.module))
        for r in race.runners
    ]
    value, spread = median_and_spread(over_pgbench)
    return (
        Comparison(
            "Throughput", "jobs/s", "higher", "No-op jobs, medians of runs in turn", COLUMNS, queues,
            missing=race.missing,
        ),
        [Figure("worker, of pgbench on the same SQL", value, "x", 0.8, "higher", f"batches of {BATCH}", spread)],
    )  # fmt: skip


def _add(rates: dict[str, dict[str, list[float]]], runner: Runner, processes: int, column: str) -> None:
    rates[runner.contender.name][column].append(runner.jobs_per_second(processes))
