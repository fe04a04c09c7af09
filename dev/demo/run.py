"""The demo: pools scale from zero to many workers and back to zero, and every job is checked at the end."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dev.demo import report
from dev.demo.answers import Answers
from dev.demo.cluster import on_cluster
from dev.demo.local import on_this_machine
from dev.demo.outage import Outage
from dev.demo.platform import Platform
from dev.demo.recording import Recording, Sample
from dev.demo.settings import Settings
from dev.demo.verify import judge
from dev.demo.workload import DemoJob, make_jobs
from dev.machine.errors import DevError
from dev.machine.progress import say, step
from dev.machine.wait import wait_until
from dev.stage.job_table import JobTable
from dev.stage.pools import Snapshot

LOOK_EVERY_SECONDS = 0.5
STALLED_AFTER_SECONDS = 180.0
ZERO_WITHIN_SECONDS = 300.0


@dataclass(slots=True)
class Course:
    """What was observed between the insert and the end of the last worker."""

    most_workers: int = 0
    zero_after_seconds: float = 0.0
    left: int | None = None  # jobs that have not ended, as of the last answer of the database
    quiet_left: int = 0  # those of all tenants but the first
    began_at: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=lambda: [Sample(0.0, 0, 0, 0)])
    last: Snapshot | None = field(default=None, repr=False)


def run_demo(settings: Settings) -> bool:
    """True if every claim of the demo was true."""
    with on_cluster() if settings.on_cluster else on_this_machine() as platform:
        holds, last_line = _act(platform, settings)
        hint = platform.hint
    say(hint)
    print(last_line)
    return holds


def _act(platform: Platform, settings: Settings) -> tuple[bool, str]:
    """Whether every claim was true, and the line that says so to programs."""
    platform.make_pools()
    table = JobTable(platform.postgres)
    table.clear()
    corpus = platform.corpus()
    names = table.add_tenants(f"{number:02}" for number in range(1, settings.tenants + 1))
    sizes = {name: len(content) for name, content in corpus.items()}
    jobs = make_jobs(settings.jobs, list(names), sizes, random.Random())
    answers = _answers(jobs, corpus)
    outage = _outage(platform, settings)
    say(f"Inserting {len(jobs)} jobs of {len(names)} tenants, 90 % of them from the first.")
    course = Course()
    table.insert(jobs)
    _follow(course, platform, table, names, outage)
    with step("Comparing every stored result with an independent computation", usual="1 s"):
        rows = table.rows(names)
        verdict = judge(jobs, rows, answers)
    print(f"\n{report.account(jobs, rows, names)}\n")
    if outage:
        for pool, words in outage.words.items():
            print(f"While PostgreSQL was down, pool {pool} showed: {words}")
    faults = [*report.findings(verdict), *(outage.verdict() if outage else [])]
    for fault in faults:
        print(f"WRONG: {fault}")
    line = report.last_line(verdict, max_workers=course.most_workers, zero_after_seconds=course.zero_after_seconds)
    holds = verdict.holds and not faults
    if settings.record is not None and holds:
        Recording(settings.jobs, settings.tenants, os.cpu_count() or 1, line, course.samples).write(settings.record)
    return holds, line


def _answers(jobs: list[DemoJob], corpus: dict[str, bytes]) -> Answers:
    """Computed before the insert, because the workers will use both cores."""
    answers = Answers(corpus)
    with step("Computing the result that each job must have", usual="5 s"):
        for job in jobs:
            if job.malformed is None:
                answers.of(job)
    return answers


def _outage(platform: Platform, settings: Settings) -> Outage | None:
    seconds = settings.postgres_down_seconds
    if not seconds:
        return None

    def kill() -> None:
        say(f"Killing PostgreSQL; it stays down for {seconds} s.")
        platform.kill_postgres(seconds)

    return Outage(kill, platform.secrets)


def _follow(
    course: Course, platform: Platform, table: JobTable, tenants: dict[UUID, str], outage: Outage | None
) -> None:
    """Prints the pools when they change, until every job and the last worker have ended."""
    moved_at = time.monotonic()
    while course.left != 0 or (outage and not outage.over):
        if _count(course, table, list(tenants)):
            moved_at = time.monotonic()
        snapshot = _see(platform, course)
        if outage:
            outage.watch(snapshot)
        if time.monotonic() - moved_at > STALLED_AFTER_SECONDS:
            raise DevError(_stalled(platform, course.left))
        time.sleep(LOOK_EVERY_SECONDS)
    ended_at = time.monotonic()
    wait_until(
        "the end of the last worker after the last job",
        lambda: not _see(platform, course).workers,
        within_seconds=ZERO_WITHIN_SECONDS,
        poll_seconds=LOOK_EVERY_SECONDS,
        reason=platform.state,
    )
    course.zero_after_seconds = time.monotonic() - ended_at


def _count(course: Course, table: JobTable, tenants: Sequence[UUID]) -> bool:
    """Whether jobs ended since the last count."""
    left, quiet_left = table.unfinished(tenants), table.unfinished(tenants[1:])
    if left is None or quiet_left is None or left == course.left:
        return False
    course.left, course.quiet_left = left, quiet_left
    return True


def _see(platform: Platform, course: Course) -> Snapshot:
    snapshot = platform.look()
    course.most_workers = max(course.most_workers, snapshot.workers)
    seconds = round(time.monotonic() - course.began_at, 2)
    course.samples.append(Sample(seconds, course.left or 0, course.quiet_left, snapshot.workers))
    if course.last is None or course.last.shown != snapshot.shown:
        print(platform.shown(), flush=True)
    course.last = snapshot
    return snapshot


def _stalled(platform: Platform, left: int | None) -> str:
    count = "an unknown number of" if left is None else left
    return f"no job has ended for {STALLED_AFTER_SECONDS:.0f} s, {count} are left\n{platform.state()}"
