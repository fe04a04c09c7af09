"""Fifty random scale-downs while jobs run: idle pods are stopped first, and no job is interrupted or lost.

JOBTIDE_TEST_LONGEST_JOB_SECONDS=120 is the whole range of jobs; the default leaves out the longest.
JOBTIDE_TEST_SEED repeats the choices of another run.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

import pytest

from dev.stage.watch import EventLog
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.pod_life import lives, of_runs, wrongly_stopped
from tests.e2e.work import Work

LONGEST_SECONDS = float(os.environ.get("JOBTIDE_TEST_LONGEST_JOB_SECONDS", "20"))
SEED = int(os.environ.get("JOBTIDE_TEST_SEED") or random.SystemRandom().randrange(10**6))
POOLS, SCALE_DOWNS = 5, 10  # pools at once; scale-downs of each
MOST_WORKERS = 4
SHORTEST_SECONDS, USUAL_SECONDS = 0.1, 6.0  # few jobs take longer than USUAL_SECONDS
LONG_JOBS = 3  # of each pool; fewer than its workers, so that some are idle


@dataclass(slots=True)
class Driver:
    """Makes one pool grow and shrink, SCALE_DOWNS times."""

    work: Work
    deployments: EventLog
    pods: EventLog
    number: int
    dice: random.Random
    jobs: list[UUID] = field(default_factory=list)
    long_jobs: int = 0

    @property
    def pool(self) -> str:
        return f"shrink-{self.number}"

    @property
    def by_promise(self) -> bool:
        return self.number % 2 == 0

    def run(self) -> None:
        sizing = {"maxWaitSeconds": 2} if self.by_promise else {"jobsPerWorker": 1}
        # With a promise, workers stay warm for 30 s after the last job: too long for this test.
        ways = ["pin", "limit"] if self.by_promise else ["pin", "limit", "idle"]
        self.work.apply_pool(
            self.pool,
            [f"{self.pool}.hold"],
            **sizing,
            maxReplicas=MOST_WORKERS,
            concurrency=1 + self.number % 2,
            drainSeconds=int(LONGEST_SECONDS) + 60,
            scaleDown={"stabilizationSeconds": 1},
        )
        for _ in range(SCALE_DOWNS):
            self.grow()
            self.shrink(self.dice.choice(ways))
        self.patch(replicas=None)

    def grow(self) -> None:
        self.patch(replicas=None, maxReplicas=MOST_WORKERS)
        self.insert(self.some_seconds())
        self.wait("two workers at least", lambda numbers: numbers[-1:] >= [2])

    def some_seconds(self) -> list[float]:
        """Most jobs are short, two are of the usual length, and sometimes one is long."""
        ratio = USUAL_SECONDS / SHORTEST_SECONDS
        seconds = [SHORTEST_SECONDS * ratio ** self.dice.random() for _ in range(self.dice.randint(2, 6))]
        seconds += [self.dice.uniform(USUAL_SECONDS / 2, USUAL_SECONDS) for _ in range(2)]
        if self.long_jobs < LONG_JOBS and self.dice.random() < 0.5:
            self.long_jobs += 1
            seconds.append(self.dice.uniform(LONGEST_SECONDS / 2, LONGEST_SECONDS))
        self.dice.shuffle(seconds)
        return seconds

    def insert(self, durations: list[float]) -> None:
        self.jobs += self.work.insert_each(f"{self.pool}.hold", [{"seconds": seconds} for seconds in durations])

    def shrink(self, way: str) -> None:
        """Returns when replicas has decreased since the call."""
        before = self.numbers()
        began_at, most = time.time(), before[-1] - 1
        if way == "pin" and most > 0:
            self.pin(self.dice.randint(0, most))
        elif way == "limit" and most > 0:
            self.patch(maxReplicas=self.dice.randint(1, most))
        self.wait(f"fewer workers by {way}", lambda numbers: falls(numbers[len(before) - 1 :]))
        note(f"{self.pool}: by {way} {before[-1]} -> {self.numbers()[-1]}, {time.time() - began_at:.1f} s")

    def pin(self, replicas: int) -> None:
        self.patch(replicas=replicas)
        self.wait(f"the pin at {replicas}", lambda numbers: numbers[-1] == replicas)
        self.pods.wait(f"{self.pool}: as few pods", lambda _: self.staying() <= replicas)

    def patch(self, **spec: int | None) -> None:
        self.work.kubectl("patch", "jwp", self.pool, "--type", "merge", "--patch", json.dumps({"spec": spec}))

    def wait(self, what: str, look_for: Callable[[list[int]], object]) -> None:
        seconds = 2 * LONGEST_SECONDS + 60
        self.deployments.wait(f"{self.pool}: {what}", lambda _: look_for(self.numbers()), within_seconds=seconds)

    def numbers(self) -> list[int]:
        """The replicas of the Deployment, one number for each event."""
        deployment = f"{self.pool}-worker"
        return [event.object["spec"]["replicas"] for event in self.deployments.events if event.name == deployment]

    def staying(self) -> int:
        """The number of pods that have not been stopped."""
        latest = {event.uid: event for event in self.pods.events}
        own = [event for event in latest.values() if event.object["metadata"]["labels"][POOL_LABEL] == self.pool]
        return sum(event.type != "DELETED" and "deletionTimestamp" not in event.object["metadata"] for event in own)


@pytest.mark.timeout(LONGEST_SECONDS * 3 + 300, func_only=True)
def test_fifty_scale_downs_interrupt_no_job_and_take_no_busy_pod_where_an_idle_one_could_go(work: Work) -> None:
    note(f"JOBTIDE_TEST_SEED={SEED} JOBTIDE_TEST_LONGEST_JOB_SECONDS={LONGEST_SECONDS:g}")
    with work.watch("deployments") as deployments, work.watch("pods") as pods:
        drivers = [Driver(work, deployments, pods, number, random.Random(SEED + number)) for number in range(POOLS)]
        with ThreadPoolExecutor(POOLS) as threads:
            list(threads.map(Driver.run, drivers))
        jobs = [job for driver in drivers for job in driver.jobs]
        work.wait_completed(*jobs, within_seconds=LONGEST_SECONDS + 60)
        events = pods.events

    histories = {job: of_runs(history) for job, history in work.history(jobs).items()}
    changes = {job: [change.became for change in history] for job, history in histories.items()}
    assert changes == {job: ["processing", "completed"] for job in jobs}, "jobs were requeued or rescued"
    assert sum(falls(driver.numbers()) for driver in drivers) >= POOLS * SCALE_DOWNS
    assert wrongly_stopped(lives(events, histories)) == []


def falls(numbers: list[int]) -> int:
    return sum(after < before for before, after in pairwise(numbers))


def note(line: str) -> None:
    print(line)  # noqa: T201 - pytest shows it where the test fails
