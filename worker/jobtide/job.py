"""A claimed job, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

Json = Any
EndStatus = Literal["completed", "failed", "pending"]


@dataclass(frozen=True, slots=True)
class Job:
    """One claim of one row. `attempt` counts this claim; `token` is the fence: only the live claim's can write."""

    id: UUID
    tenant_id: UUID
    type: str
    payload: Json
    attempt: int
    token: str
    waited_seconds: float = 0.0  # from due to claimed, by the database's clock
    result: Json = None  # of the row at the claim: the last error or progress


@dataclass(frozen=True, slots=True)
class End:
    """How a claim ends: one row of sql/finish.sql."""

    job: Job
    status: EndStatus
    result: str | None = None  # JSON text; None keeps what the row has
    delay_seconds: float | None = None  # before a pending row is due again; None: at once
    gives_back: bool = False  # the attempt: it is not counted
    reason: str = ""  # one word for logs and metrics: completed, failed, retried, snoozed, returned
    trace: str | None = None  # the whole traceback, for the log alone


# Marks of a job that a crash took along: docs/adr/2026-11-28-suspects-run-apart.md.
RUNS_IN_PROCESS, WAITS_ALONE, RUNS_ALONE = 1, 2, 3


def suspicion_of(job: Job) -> int:
    """The mark of a job that a crash took along, in the row's result; 0: none.

    RUNS_IN_PROCESS: the next run is in a process of its own. WAITS_ALONE: the worker runs it alone. RUNS_ALONE: it does
    so now. Nothing else follows from it, since other users of the table may write this column.
    """
    level = job.result.get("suspect") if isinstance(job.result, dict) else None
    return level if type(level) is int and level in {RUNS_IN_PROCESS, WAITS_ALONE, RUNS_ALONE} else 0


def with_suspicion(job: Job, level: int) -> dict[str, Json]:
    """The result that the row has, with another mark."""
    return {**(job.result if isinstance(job.result, dict) else {}), "suspect": level}


def token_prefix(pod_uid: str) -> str:
    """The start of every claim token of this pod. The controller reads the pod's UID from it."""
    return f"jobtide:{pod_uid}:"
