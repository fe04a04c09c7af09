"""The status of a JobWorkerPool, written by the controller."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from jobtide_controller.api.base import Model

DECISIONS_KEPT = 10
TENANTS_SHOWN = 10
UNSERVED_SHOWN = 10
TYPE_LIMITS_SHOWN = 8  # of one tenant; 64 of ten tenants would be most of the status
MESSAGE_LIMIT = 32_768  # characters, as Kubernetes defines a condition


class Display(Model):
    """Text for the columns of `kubectl get`: a number that is not known shows as ?, never as 0."""

    pending: str = Field(default="", description="Waiting jobs, short: 8,140, 12k, 95k+ (counting stopped), ?.")
    oldest: str = Field(default="", description="How long the oldest due job has waited: 4m10s, - (none), ?.")
    busy: str = Field(default="", description="Workers that run at least one job, or ?.")
    processing: str = Field(default="", description="Running jobs, or ?.")
    tenants: str = Field(default="", description="Tenants with jobs that wait or run, or ?.")
    limited_by: str = Field(default="", description="What limits the number of workers: names, or -.")


class Learned(Model):
    """What the controller learned about a type, kept across its restarts."""

    slot_seconds: float = Field(ge=0, description="Slot seconds used by the jobs that the controller saw end.")
    jobs: float = Field(ge=0, description="Number of jobs that the controller saw end; older ones count less.")


class TypeStatus(Model):
    """The jobs of one type at the last reading, and their learned duration."""

    type: str = Field(description="The value of job_queue.type.")
    pending: int = Field(default=0, description="Waiting jobs, including scheduled ones.")
    scheduled: int = Field(default=0, description="Jobs among them that are not due yet.")
    processing: int = Field(default=0, description="Running jobs.")
    oldest_seconds: int = Field(
        default=0, description="Seconds that the oldest due job has waited; those of paused tenants do not count."
    )
    tenants: int = Field(default=0, description="Tenants with jobs of this type that wait or run.")
    service_seconds: float = Field(default=0, description="Learned duration of a job of this type, in seconds.")
    promise_seconds: int | None = Field(
        default=None, description="The promise of this type in seconds. Only where spec.promises is set."
    )
    promise_workers: int | None = Field(
        default=None,
        description="Workers that the types with this promise or a shorter one need, before any limit. Only where "
        "spec.promises is set.",
    )
    learned: Learned | None = Field(default=None, description="Measurements behind serviceSeconds.")


class TypeLimitStatus(Model):
    """The limit of one tenant for one type, which holds beside that for all types."""

    type: str = Field(description="The value of job_queue.type.")
    max_concurrent: int | None = Field(
        default=None, description="Jobs of this type that the tenant may run at once, if limited; 0: they are paused."
    )
    weight: int | None = Field(default=None, description="Turns of the tenant for this type, if it has its own.")
    limit_until: datetime | None = Field(default=None, description="Time at which this limit ends, if it does.")


class TenantStatus(Model):
    """The jobs of one tenant at the last reading, over all types of the pool."""

    tenant: str = Field(description="Tenant id.")
    pending: int = Field(default=0, description="Waiting jobs, including scheduled ones.")
    processing: int = Field(default=0, description="Running jobs.")
    oldest_seconds: int = Field(default=0, description="Seconds that the tenant's oldest due job has waited.")
    max_concurrent: int | None = Field(
        default=None, description="Jobs that the tenant may run at once, if limited; 0: it is paused."
    )
    weight: int | None = Field(default=None, description="Turns of the tenant where others have one, if it has more.")
    limit_until: datetime | None = Field(
        default=None, description="Time at which its limit or weight ends, if it does."
    )
    type_limits: tuple[TypeLimitStatus, ...] = Field(
        default=(),
        max_length=TYPE_LIMITS_SHOWN,
        description=f"Its limits for single types of which it has jobs; the {TYPE_LIMITS_SHOWN} lowest.",
    )


class ClampStatus(Model):
    """A limit that changed the number of workers, with the number before and after it."""

    name: str = Field(description="Name of the limit.")
    before: int = Field(description="Workers before this limit.")
    after: int = Field(description="Workers after it.")
    limit: float | None = Field(default=None, description="Value of the limit, such as maxReplicas.")
    window: str | None = Field(default=None, description="Window of spec.schedules that sets the limit, if one does.")


class DecisionStatus(Model):
    """One change of the number of workers, with the numbers that explain it."""

    time: datetime = Field(description="Time of the decision.")
    replicas_before: int = Field(description="Desired workers before.")
    replicas: int = Field(description="Desired workers after.")
    reason: str = Field(description="Reason in one word.")
    message: str = Field(default="", description="Reason in one sentence with the numbers.")
    limited_by: tuple[ClampStatus, ...] = Field(default=(), description="The limits that changed the result, in order.")
    numbers: dict[str, float] = Field(default_factory=dict, description="Numbers from which the decision follows.")


class Condition(Model):
    """One condition as Kubernetes defines it."""

    type: str = Field(description="Name of the condition.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation for which this holds.")
    last_transition_time: datetime = Field(description="Time of the last change of status.")
    reason: str = Field(description="Reason in one word.", min_length=1, max_length=1024)
    message: str = Field(default="", description="Reason in a sentence, and what to do.", max_length=MESSAGE_LIMIT)


class RetentionStatus(Model):
    """The last pass that deleted ended jobs, as far as it concerns the types of this pool."""

    deleted: int = Field(default=0, description="Jobs that it deleted.")
    time: datetime | None = Field(
        default=None, description="Time at which it ended. Not written again while the other fields stay the same."
    )
    oldest_left: datetime | None = Field(
        default=None,
        description="Creation time of the oldest ended job that it left although the job was created before the "
        "retention time: it ended later. Unset: none.",
    )
    message: str = Field(default="", description="Why jobs stay longer than spec.retention says, and what to do.")


class UnservedTypeStatus(Model):
    """A type with waiting jobs that no pool of the database handles."""

    type: str = Field(description="The value of job_queue.type, its first 200 characters.")
    pending: int = Field(description="Waiting jobs; counting stops at 1000.")
    oldest_seconds: int = Field(default=0, description="Seconds that the oldest of them has been due.")


class ActiveWindow(Model):
    """A window of spec.schedules that is open."""

    name: str = Field(description="Name of the window.")
    until: datetime = Field(description="Time at which it ends.")
    decides: tuple[str, ...] = Field(
        default=(), description="Limits that hold as it sets them; a later window may decide the others."
    )


class NextWindow(Model):
    """The window of spec.schedules that opens next."""

    name: str = Field(description="Name of the window.")
    at: datetime = Field(description="Time at which it begins.")


class ScheduleStatus(Model):
    """The windows by the clock."""

    active: tuple[ActiveWindow, ...] = Field(default=(), description="Windows that are open, in the order of the spec.")
    next: NextWindow | None = Field(default=None, description="The window that opens next; unset: none will.")


class JobWorkerPoolStatus(Model):
    """The backlog of the pool, its number of workers, and the reasons."""

    observed_generation: int = Field(
        default=0, description="metadata.generation for which this status was computed; -1: no controller has seen it."
    )
    reason: str = Field(default="", description="The state of the pool in one word.")
    message: str = Field(default="", description="The state of the pool in one sentence.")
    pending: int | None = Field(default=None, description="Waiting jobs, including scheduled ones; unset: not known.")
    scheduled: int | None = Field(default=None, description="Jobs among them that are not due yet.")
    processing: int | None = Field(default=None, description="Running jobs; unset: not known.")
    oldest_seconds: int | None = Field(
        default=None, description="Seconds that the oldest due job has waited; those of paused tenants do not count."
    )
    replicas: int = Field(default=0, description="Worker pods that exist and are not terminating.")
    ready_replicas: int = Field(default=0, description="Worker pods that are ready.")
    busy_replicas: int = Field(default=0, description="Worker pods that run at least one job.")
    desired_replicas: int = Field(default=0, description="Desired worker pods.")
    selector: str = Field(default="", description="Label selector of the worker pods, for `kubectl scale`.")
    limited_by: tuple[str, ...] = Field(default=(), description="What limits the number of workers now.")
    limits: tuple[ClampStatus, ...] = Field(
        default=(), max_length=16, description="The same with numbers, in the order in which they apply."
    )
    numbers: dict[str, float] = Field(
        default_factory=dict,
        # Atomic: if all entries of a map are removed, server-side apply leaves a null, which the schema refuses.
        json_schema_extra={"x-kubernetes-map-type": "atomic"},
        description="Numbers from which desiredReplicas follows, before the limits; those that are 0 are left out. "
        "Empty while the database can't be read.",
    )
    schedule: ScheduleStatus | None = Field(
        default=None, description="Windows by the clock, if spec.schedules has any: those that are open, and the next."
    )
    tenants_total: int | None = Field(default=None, description="Tenants with jobs that wait or run.")
    types: tuple[TypeStatus, ...] = Field(default=(), max_length=64, description="Depth of each type.")
    tenants: tuple[TenantStatus, ...] = Field(
        default=(),
        max_length=TENANTS_SHOWN,
        description=f"The {TENANTS_SHOWN} tenants with the most waiting jobs.",
    )
    decisions: tuple[DecisionStatus, ...] = Field(
        default=(),
        max_length=DECISIONS_KEPT,
        description=f"The last {DECISIONS_KEPT} changes of the number of workers, newest first.",
    )
    retention: RetentionStatus | None = Field(
        default=None, description="Deletion of ended jobs, if spec.retention is set."
    )
    unserved: tuple[UnservedTypeStatus, ...] = Field(
        default=(),
        max_length=UNSERVED_SHOWN,
        description="Types with waiting jobs that no pool of the database handles, those with the most jobs first. "
        "Only in the first pool, by name, of each namespace and database.",
    )
    last_read_time: datetime | None = Field(
        default=None,
        description="Time at which these numbers were read. The status is not written again while nothing changes.",
    )
    display: Display = Field(default=Display(), description="Text for the columns of `kubectl get`.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description=(
            "Ready, DatabaseReachable, SchemaReady, ScalingActive, KeepingUp, Progressing, Paused, LimitsCurrent, "
            "TableHealthy, Stalled."
        ),
    )
