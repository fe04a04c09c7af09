"""The report at the end: tables for people, one line of JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dev.chaos.disturbance import Recovery, Span, Wait, clock, covered_seconds
from dev.chaos.fleet import Fleet
from dev.chaos.hostile import Writing
from dev.chaos.hostile_namespace import PoolWriting
from dev.chaos.judge import Violation
from dev.chaos.ledger import Ledger, Life
from dev.chaos.settings import Settings
from dev.chaos.strikes import Course
from dev.chaos.workload import FAILING, POOL_OF, ChaosJob
from dev.machine.text import percentile
from jobtide.commands.table import aligned

SHOWN_VIOLATIONS = 20


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that is known at the end of a run."""

    settings: Settings
    jobs: Mapping[UUID, ChaosJob]
    uncertain_inserts: int
    ledger: Ledger
    waits: Sequence[Wait]
    course: Course
    disturbances: Sequence[Span]
    recoveries: Sequence[Recovery]
    fleet: Fleet
    hostiles: Sequence[Writing]
    hostile_pools: PoolWriting | None
    violations: Sequence[Violation]

    def figures(self) -> dict[str, Any]:
        struck = Counter(str(strike.fault.kind) for strike in self.course.strikes)
        lives = self.ledger.lives.values()
        return {
            "seed": self.settings.seed,
            "seconds": self.settings.seconds,
            "faults": dict(sorted(struck.items())),
            "faults_skipped": [f"{fault.kind}: {why}" for fault, why in self.course.skipped],
            "faults_not_reached": self.course.not_reached,
            "jobs": len(self.jobs),
            "uncertain_inserts": self.uncertain_inserts,
            "outcomes": dict(sorted(Counter(life.status for life in lives).items())),
            "claims": sum(len(life.claims) for life in lives),
            "claims_lost": sum(_lost_claims(self.jobs[life.id], life) for life in lives if life.id in self.jobs),
            "waits": {pool: _spread(wait.seconds for wait in self._waits(pool)) for pool in _pools()},
            "recoveries": _spread(recovery.seconds for recovery in self.recoveries),
            "disturbed_seconds": round(covered_seconds(span for span in self.disturbances if not span.jobs), 1),
            "most_workers": self.fleet.most_workers,
            "resizes": len(self.fleet.resizes),
            "leaders": len(self.fleet.holdings),
            "refused": _refused(self.jobs, self.ledger),
            "hostiles": {one.name: {"stored": one.stored, "refused": one.refused} for one in self.hostiles},
            "hostile_pools": None if self.hostile_pools is None else self.hostile_pools.figures(),
            "violations": [{"rule": found.rule, "words": found.words} for found in self.violations],
        }

    def events(self) -> list[str]:
        """What happened when, to find the cause of a violation."""
        happened = [
            *((strike.struck_at, f"{strike.fault.kind}: {strike.target.name}") for strike in self.course.strikes),
            *((strike.healed_at, f"over: {strike.fault.kind}: {strike.target.name}") for strike in self.course.strikes),
            *((size.at, f"pool {size.pool}: {size.before} -> {size.replicas} workers") for size in self.fleet.resizes),
            *((one.acquired_at, f"leader {one.holder}") for one in self.fleet.holdings),
            *((at, f"pod {pod.name} asked to stop") for at, pod in self.fleet.stopped()),
        ]
        return [f"{clock(at)} {words}" for at, words in sorted(happened)]

    def text(self) -> str:
        """The tables."""
        return "\n\n".join("\n".join(aligned(lines)) for lines in (self._faults(), self._pool_lines()))

    def _faults(self) -> list[tuple[str, ...]]:
        headings = ("fault", "times", "longest", "until the next claim")
        kinds = sorted({strike.fault.kind for strike in self.course.strikes})
        return [headings, *(self._fault_line(kind) for kind in kinds)]

    def _fault_line(self, kind: str) -> tuple[str, ...]:
        strikes = [strike for strike in self.course.strikes if strike.fault.kind == kind]
        after = [recovery.seconds for recovery in self.recoveries if recovery.strike.fault.kind == kind]
        lasted = [strike.healed_at - strike.struck_at for strike in strikes]
        return (kind, str(len(strikes)), f"{max(lasted):.1f} s", f"{max(after):.1f} s" if after else "-")

    def _pool_lines(self) -> list[tuple[str, ...]]:
        headings = ("pool", "jobs", "completed", "failed", "wait p50", "wait p95", "longest")
        return [headings, *(self._pool_line(pool) for pool in _pools())]

    def _pool_line(self, pool: str) -> tuple[str, ...]:
        lives = [
            self.ledger.lives[job.id] for job in self.jobs.values() if job.pool == pool and job.id in self.ledger.lives
        ]
        spread = _spread(wait.seconds for wait in self._waits(pool))
        ends = [str(sum(life.status == status for life in lives)) for status in ("completed", "failed")]
        return (
            pool,
            str(len(lives)),
            *ends,
            *("-" if value is None else f"{value:.2f} s" for value in spread.values()),
        )

    def _waits(self, pool: str) -> list[Wait]:
        return [wait for wait in self.waits if wait.job.pool == pool]


def show(account: Account, write: Callable[[str], object] = print) -> None:
    """Writes the tables and the violations; the last line is the figures as JSON."""
    write(f"\n{account.text()}\n")
    for found in account.violations[:SHOWN_VIOLATIONS]:
        write(f"VIOLATED {found.rule}: {found.words}")
    if (more := len(account.violations) - SHOWN_VIOLATIONS) > 0:
        write(f"and {more} more violations")
    write(json.dumps(account.figures()))


def _lost_claims(job: ChaosJob, life: Life) -> int:
    """Claims that ended without a result, of a job that does not fail by design."""
    return 0 if job.type in FAILING else max(0, len(life.claims) - 1)


def _refused(jobs: Mapping[UUID, ChaosJob], ledger: Ledger) -> dict[str, int]:
    """How the jobs ended of which the server refused something, such as {"claim: failed": 3}."""
    known = (job for job in jobs.values() if job.refused and job.id in ledger.lives)
    return dict(sorted(Counter(f"{job.refused}: {ledger.lives[job.id].status}" for job in known).items()))


def _pools() -> list[str]:
    return sorted(set(POOL_OF.values()))


def _spread(values: Iterable[float]) -> dict[str, float | None]:
    known = list(values)
    found = {"p50": percentile(known, 50), "p95": percentile(known, 95), "max": max(known, default=None)}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}
