"""The lowest number of worker-seconds that can start every job within the promise. A bound, not a plan.

It assumes that all future jobs are known. It cuts time into busy stretches: the windows [due, due + promise + service]
of the jobs, joined where they overlap. In any plan that keeps the promise, a job runs inside its own stretch. For each
stretch:

- Its jobs need `work / concurrency` seconds of ready workers, and a worker exists while the longest of them runs.
- At least n workers are ready at one time: n = ceil(work / (concurrency * length)), because their mean can't be less;
  and n >= ceil(jobs that must all run at one moment / concurrency), where a job longer than the promise must run from
  due + promise to due + service, if it starts in time.
- Each of these n workers either started after the previous stretch, which costs the start, when it is not ready; or
  existed during the gap between the two, which costs the gap. So n * min(start, gap) is added, and no other stretch
  counts it.

The bound is the sum over the stretches of: the greatest of `work / concurrency`, the longest job and the time integral
of must-run jobs in whole workers; plus those starts. A start takes the mean time. Caps, retries and claims only cost
more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.simulate.trace import Job


@dataclass(slots=True)
class _Stretch:
    start: float
    end: float
    jobs: list[Job]


PromiseOf = Callable[[str], float]
"""The promise of a type in seconds."""


def least_worker_seconds(
    jobs: Sequence[Job], *, promise_of: PromiseOf, concurrency: int, start_seconds: float
) -> float:
    """Returns the bound. Two jobs of 5 s, 60 s apart, promise 30 s, start 6 s: 2 * (6 + 5) = 22 worker-seconds."""
    total, free_since = 0.0, -inf
    for stretch in _stretches(jobs, promise_of):
        work = sum(job.service_seconds for job in stretch.jobs) / concurrency
        at_once, held = _must_run(stretch.jobs, promise_of, concurrency)
        length = stretch.end - stretch.start
        workers = max(1, at_once, ceil(work / length) if length > 0 else 1)
        longest = max(job.service_seconds for job in stretch.jobs)
        total += max(work, longest, held) + workers * min(start_seconds, stretch.start - free_since)
        free_since = stretch.end
    return total


def _stretches(jobs: Iterable[Job], promise_of: PromiseOf) -> Iterator[_Stretch]:
    current: _Stretch | None = None
    for job in sorted(jobs, key=lambda one: one.startable_at):
        end = job.startable_at + promise_of(job.type) + job.service_seconds
        if current is not None and job.startable_at <= current.end:
            current.end = max(current.end, end)
            current.jobs.append(job)
            continue
        if current is not None:
            yield current
        current = _Stretch(job.startable_at, end, [job])
    if current is not None:
        yield current


def _must_run(jobs: Iterable[Job], promise_of: PromiseOf, concurrency: int) -> tuple[int, float]:
    """The most workers needed at one moment, and the worker-seconds over all moments."""
    edges = sorted(
        edge
        for job in jobs
        if job.service_seconds > promise_of(job.type)
        for edge in ((job.startable_at + promise_of(job.type), 1), (job.startable_at + job.service_seconds, -1))
    )
    most, seconds, running, since = 0, 0.0, 0, 0.0
    for moment, change in edges:
        workers = ceil(running / concurrency)
        seconds += workers * (moment - since)
        running, since = running + change, moment
        most = max(most, ceil(running / concurrency))
    return most, seconds
