"""The values that a pool's status is rendered from, and its conditions as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobtide.table_health import Verdict
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.decide.limits import LimitsTrouble
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.retention import Retained
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.decide.unserved import UnservedType


@dataclass(frozen=True, slots=True)
class Overlap:
    """One type that several pools of one database handle: each sizes itself for the same jobs."""

    type: str
    pools: tuple[str, ...]  # the first few of the others, namespace/name
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the pipeline knows about a pool besides its reading, fleet and decision."""

    conflict: str | None = None  # the Deployment of this name has another owner: which one
    apply_error: str | None = None  # the API server's error for the last write; None after a successful one
    overlaps: tuple[Overlap, ...] = ()
    schema_warnings: tuple[str, ...] = ()  # it works, but slowly: a missing index, with its DDL
    rollout: Rollout = field(default_factory=Rollout)
    shows_tenants: bool = True  # their IDs; their number is always shown
    retained: Retained | None = None  # the last deletion of ended jobs; None: as the status has it
    unserved: tuple[UnservedType, ...] = ()  # to be shown in this pool's status
    limits_view: bool = False  # the database has a view with limits of tenants
    limits_trouble: LimitsTrouble | None = None  # why limits are not as their sources have them
    table: Verdict | None = None  # on the health of the table; None: as the status has it


Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One condition without transition time and generation."""

    type: str
    status: Status
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a pool's conditions follow from."""

    spec: JobWorkerPoolSpec
    reading: Reading | Unreadable
    fleet: Fleet
    decision: Decision
    context: Context
    now: float  # by the controller's clock, seconds since the epoch
    readable_since: float = 0.0  # by the same clock: since when the database can be read
    stalled_before: Judgement | None = None  # Stalled as last written, if it was True for this generation
    table_before: Judgement | None = None  # TableHealthy as last written
