"""How soon an idle worker starts a job: one idle worker of each queue, one job at a time at a random moment."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from dev.bench.comparison import Comparison, Queue
from dev.bench.peers.contender import Producer, Runner, Worker, random_pause_seconds
from dev.bench.race import Race
from dev.bench.table import Table
from dev.machine.wait import wait_until

ROUNDS = 40
WARM_UP = 2
COLUMNS = ("p50", "p95")
GOALS = {"p50": 5.0, "p95": 10.0}
LEVEL = 1.1  # of the best peer: what counts as level
SETTLE_SECONDS = 2.0  # a worker that has just run a job is idle after this


@dataclass(slots=True)
class Idle:
    """A queue with its idle worker and its producer."""

    runner: Runner
    worker: Worker
    producer: Producer
    added: list[int] = field(default_factory=list)

    def add(self) -> None:
        self.worker.require_running()
        self.added.append(self.producer.add())

    def wait_for_all(self) -> None:
        wait_until(
            f"the start of {len(self.added)} jobs of {self.runner.contender.name}",
            lambda: len(self.worker.starts()) >= len(self.added),
            within_seconds=30,
            poll_seconds=0.05,
        )

    def milliseconds(self) -> list[float]:
        """From the moment before each insert to the start of the handler; jobs start in the order of their inserts."""
        starts = sorted(self.worker.starts())
        return [(start - added) / 1e3 for added, start in zip(self.added, starts, strict=True)][WARM_UP:]


def measure(table: Table) -> Comparison:
    """Returns the median and 95th percentile of each queue. All are idle at once; the jobs go round them."""
    race = Race(table)
    with ExitStack() as running:
        idle = [
            Idle(runner, running.enter_context(runner.worker()), running.enter_context(runner.producer()))
            for runner in race.runners
        ]
        for _ in range(WARM_UP):
            _round(race, idle)
            for one in list(idle):
                race.attempt(one.runner, one.wait_for_all)
        time.sleep(SETTLE_SECONDS)
        for _ in range(ROUNDS):
            _round(race, idle)
        for one in idle:
            if one.runner in race.runners:
                race.attempt(one.runner, one.wait_for_all)
        left = [one for one in idle if one.runner in race.runners]
        queues = [_queue(one) for one in left]
    return Comparison(
        "Pickup", "ms", "lower", "One idle worker, insert to start of the handler", COLUMNS, queues, GOALS, race.missing
    )


def _round(race: Race, idle: list[Idle]) -> None:
    """One job for each queue that is left, each at a random moment."""
    for one in idle:
        if one.runner in race.runners:
            time.sleep(random_pause_seconds())
            race.attempt(one.runner, one.add)


def _queue(one: Idle) -> Queue:
    milliseconds = one.milliseconds()
    p50, p95 = statistics.median(milliseconds), statistics.quantiles(milliseconds, n=20, method="inclusive")[-1]
    contender = one.runner.contender
    return Queue(contender.name, contender.settings, {"p50": [p50], "p95": [p95]}, LEVEL)
