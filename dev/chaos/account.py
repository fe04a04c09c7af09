"""Computes the account of a run from everything that was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.disturbance import Span, Wait, disturbances, recoveries, wait_of
from dev.chaos.fleet import Fleet
from dev.chaos.hostile import Writing
from dev.chaos.hostile_namespace import PoolWriting
from dev.chaos.judge import Violation, judge_hostile_pools, judge_hostiles, judge_jobs, judge_waits
from dev.chaos.judge_claims import judge_attempts, judge_claims, judge_pauses
from dev.chaos.judge_fleet import judge_exits, judge_leaders, judge_resizes, judge_returns, judge_stops
from dev.chaos.ledger import Ledger
from dev.chaos.report import Account
from dev.chaos.settings import Settings
from dev.chaos.strikes import Course
from dev.chaos.workload import MAX_WAIT_SECONDS, REFUSED_CLAIM, ChaosJob


@dataclass(frozen=True, slots=True)
class Ending:
    """What was left when the run stopped waiting: all must be 0."""

    unfinished: int | None  # jobs; None: the database did not answer
    workers: int
    not_inserted: int


@dataclass(frozen=True, slots=True)
class Record:
    """The jobs, the faults, the cluster and the database, as recorded."""

    jobs: Mapping[UUID, ChaosJob]
    uncertain_inserts: int
    course: Course
    fleet: Fleet
    ledger: Ledger
    ending: Ending
    hostiles: Sequence[Writing] = ()
    hostile_pools: PoolWriting | None = None


def make_account(settings: Settings, record: Record) -> Account:
    """Applies every rule to the record; the account lists waits, disturbances, recoveries and violations."""
    lives = record.ledger.lives
    claimable = [job for job in record.jobs.values() if job.id in lives and job.refused != REFUSED_CLAIM]
    waits = [wait_of(job, lives[job.id]) for job in claimable]
    spans = disturbances(record.course.strikes, waits, MAX_WAIT_SECONDS)
    claims_at = sorted(claim.at for life in lives.values() for claim in life.claims)
    return Account(
        settings=settings,
        jobs=record.jobs,
        uncertain_inserts=record.uncertain_inserts,
        ledger=record.ledger,
        waits=waits,
        course=record.course,
        disturbances=spans,
        recoveries=recoveries(record.course.strikes, waits, claims_at),
        fleet=record.fleet,
        hostiles=record.hostiles,
        hostile_pools=record.hostile_pools,
        violations=tuple(_violations(record, waits, spans)),
    )


def _violations(record: Record, waits: list[Wait], spans: list[Span]) -> Iterator[Violation]:
    lives, fleet = record.ledger.lives, record.fleet
    yield from _left_over(record.ending)
    yield from judge_returns(record.course.strikes)
    yield from judge_jobs(record.jobs, record.ledger)
    yield from judge_claims(record.jobs, lives, spans, record.course.strikes)
    yield from judge_attempts(record.jobs.values(), lives)
    yield from judge_pauses(record.jobs, lives, record.course.strikes)
    yield from judge_waits(waits, spans)
    yield from judge_resizes(fleet.resizes, record.jobs, lives)
    yield from judge_stops(fleet.pods.values(), record.course.strikes, lives.values())
    yield from judge_exits(fleet.exits.values(), record.course.strikes)
    yield from judge_leaders(fleet.holdings)
    yield from judge_hostiles(record.hostiles)
    if record.hostile_pools is not None:
        yield from judge_hostile_pools(record.hostile_pools)


def _left_over(ending: Ending) -> Iterator[Violation]:
    if ending.unfinished != 0:
        left = "unknown" if ending.unfinished is None else ending.unfinished
        yield Violation("the queue empties", f"jobs that had not ended when the run stopped waiting: {left}")
    if ending.workers:
        yield Violation("the pools go back to zero", f"workers left: {ending.workers}")
    if ending.not_inserted:
        yield Violation("the producer inserts all", f"jobs that were never inserted: {ending.not_inserted}")
