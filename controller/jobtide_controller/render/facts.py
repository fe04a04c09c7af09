"""What the pipeline knows about a pool beside its reading, fleet and decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.scaling import Decision


@dataclass(frozen=True, slots=True)
class Overlap:
    """One type that several pools of one database handle: each sizes itself for the same jobs."""

    type: str
    pools: tuple[str, ...]  # the others, namespace/name


@dataclass(frozen=True, slots=True)
class Context:
    conflict: str | None = None  # a Deployment of our name that is not ours: whose it is
    apply_error: str | None = None  # the API server's words to the last write; None once one went through
    overlaps: tuple[Overlap, ...] = ()
    schema_warnings: tuple[str, ...] = ()  # it works, but slowly: a missing index, with its DDL
    rollout: Rollout = field(default_factory=Rollout)


Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One condition, before it has a time and a generation."""

    type: str
    status: Status
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pool is judged by."""

    spec: JobWorkerPoolSpec
    reading: Reading | Unreadable
    fleet: Fleet
    decision: Decision
    context: Context
    now: float
