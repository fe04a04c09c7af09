"""The jobs of the run: waves of jobs of many tenants, planned in advance like the faults."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

SHORT, LONG, RARE, EFFECT, FLAKY, POISON = (
    f"chaos.{name}" for name in ("short", "long", "rare", "effect", "flaky", "poison")
)
FAILING = (FLAKY, POISON)  # by design: sometimes, or always
POISON_ATTEMPTS = 3  # as in app/handlers.py

# Marks in the payload of short jobs, for the trigger in sql/setup.sql: what it refuses.
REFUSED_CLAIM = "claim"
REFUSED_RESULT = "result"  # the end as completed
REFUSED_ENDS = "ends"  # both ends, until the row is 20 s old
REFUSAL = "chaos refuses"

# The same as in pools.yaml; a test compares them.
MAX_REPLICAS = {"short": 5, "long": 10, "rare": 2}
MAX_WAIT_SECONDS = {"short": 5.0, "long": 20.0, "rare": 5.0}
POOL_OF = {SHORT: "short", EFFECT: "short", FLAKY: "short", POISON: "short", LONG: "long", RARE: "rare"}
MAX_ATTEMPTS = 8
LEASE_SECONDS = {"short": 30.0, "long": 120.0, "rare": 120.0}

TENANTS = 20
RATE = 8.0  # jobs a second while a wave lasts
BURST = 60  # jobs of one tenant, all at once, at the beginning of each wave
SHARES = {SHORT: 0.753, EFFECT: 0.14, FLAKY: 0.05, POISON: 0.02, LONG: 0.022, RARE: 0.015}
SCHEDULED_SHARE = 0.08
REFUSED_SHARE = 0.03  # of short jobs in waves have an end that is refused
CLAIMS_REFUSED = 2  # in each burst, where other rows can be claimed
SHORTEST_LONG_SECONDS, LONGEST_LONG_SECONDS = 20.0, 60.0


@dataclass(frozen=True, slots=True)
class ChaosJob:
    """One row to insert. `tenant` is an index; the job is due `delay_seconds` after its insert."""

    id: UUID
    tenant: int
    type: str
    payload: Mapping[str, Any]
    delay_seconds: float | None = None

    @property
    def pool(self) -> str:
        return POOL_OF[self.type]

    @property
    def refused(self) -> str:
        """What the server refuses of this job; empty: nothing."""
        return str(self.payload.get("refused", ""))


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the producer inserts a job."""

    at_seconds: float  # since the start of the run
    job: ChaosJob


def make_workload(seed: int, seconds: int) -> list[Arrival]:
    """All jobs in the order of insertion."""
    dice = random.Random(f"workload {seed}")
    # Shorter in a short run, which would otherwise only wait for its longest jobs.
    longest_seconds = min(LONGEST_LONG_SECONDS, max(SHORTEST_LONG_SECONDS, seconds / 3))
    return [
        Arrival(at, _job(dice, type_, tenant, longest_seconds, refused))
        for at, type_, tenant, refused in _arrivals(dice, seconds)
    ]


def expected_result(job: ChaosJob) -> Any:
    """The result that a completed job must have, computed without code of the handlers."""
    return {"seconds": job.payload["seconds"], "sha256": hashlib.sha256(job.payload["text"].encode()).hexdigest()}


def _arrivals(dice: random.Random, seconds: int) -> Iterator[tuple[float, str, int, str]]:
    """Waves with pauses between them, long enough for a pool to scale to zero."""
    at = 0.0
    while at < seconds:
        loud = dice.randrange(TENANTS)
        yield from ((at, SHORT, loud, REFUSED_CLAIM if n < CLAIMS_REFUSED else "") for n in range(BURST))
        wave_ends = min(at + dice.uniform(20, 40), seconds)
        while (at := at + dice.expovariate(RATE)) < wave_ends:
            (type_,) = dice.choices(list(SHARES), list(SHARES.values()))
            refused = type_ == SHORT and dice.random() < REFUSED_SHARE
            mark = dice.choice((REFUSED_RESULT, REFUSED_ENDS)) if refused else ""
            yield at, type_, dice.randrange(TENANTS), mark
        at += dice.uniform(8, 20)


def _job(dice: random.Random, type_: str, tenant: int, longest_seconds: float, refused: str) -> ChaosJob:
    if type_ == LONG:
        seconds = dice.uniform(SHORTEST_LONG_SECONDS, longest_seconds)
    else:
        seconds = min(2.0, 0.05 + dice.expovariate(2.5))
    payload: dict[str, Any] = {"seconds": round(seconds, 3), "text": f"{dice.getrandbits(64):016x}"}
    if type_ == FLAKY:
        payload["succeeds_at"] = dice.randint(2, 3)
    if refused:
        payload["refused"] = refused
    scheduled = type_ in (SHORT, RARE) and not refused and dice.random() < SCHEDULED_SHARE
    delay_seconds = round(dice.uniform(3, 45), 3) if scheduled else None
    return ChaosJob(UUID(int=dice.getrandbits(128), version=4), tenant, type_, payload, delay_seconds)
