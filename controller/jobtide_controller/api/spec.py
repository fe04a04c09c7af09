"""The spec of a JobWorkerPool. `kubectl explain` shows each description."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from jobtide_controller.api import rules
from jobtide_controller.api.base import DAY_SECONDS, Model
from jobtide_controller.api.schedules import SCHEDULES_MAX, WINDOW_RULES, Schedule
from jobtide_controller.api.template import PodTemplate

DEFAULT_MAX_WAIT_SECONDS = 60

MOST_CONCURRENT, MOST_WEIGHT = 100_000, 100  # of one tenant

# Cron slots need the rows of ended slots for as long as clocks differ; readings count ends by their rows.
RETENTION_MIN_SECONDS = 3_600

JobType = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=rules.JOB_TYPE)]


class OnAllFailing(StrEnum):
    """Scaling while every attempt fails."""

    SCALE = "Scale"
    HOLD = "Hold"


class TenantLimit(Model):
    """The limits of one tenant in this pool; each value that is unset comes from elsewhere."""

    max_concurrent: int | None = Field(
        default=None,
        ge=0,
        le=MOST_CONCURRENT,
        description="Jobs that the tenant may run at once in this pool; 0 pauses it. Unset: as the view "
        "job_tenant_limits or maxConcurrent has it.",
    )
    weight: int | None = Field(
        default=None,
        ge=1,
        le=MOST_WEIGHT,
        description="Turns of the tenant where others have one, so that it gets more of the workers while others wait "
        "too. Unset: as the view job_tenant_limits has it, or 1.",
    )
    until: AwareDatetime | None = Field(
        default=None,
        description="Time at which these limits end by themselves. Unset: they have no end. Example: "
        "2026-11-30T08:00:00Z.",
    )


class Tenants(Model):
    """Limits of the jobs that one tenant may run at once in this pool: one for all tenants, and for single ones."""

    max_concurrent: int | None = Field(
        default=None,
        ge=1,
        le=MOST_CONCURRENT,
        description="Jobs that one tenant may run at once in this pool. Unset: no limit. Example: 16.",
    )
    overrides: dict[str, Annotated[int, Field(ge=0, le=MOST_CONCURRENT)]] = Field(
        default_factory=dict,
        max_length=200,
        json_schema_extra=rules.TENANT_OVERRIDES,
        description="Limits for single tenants, instead of maxConcurrent: tenant id (UUID) to number of jobs; 0 pauses "
        "the tenant. Default: none.",
    )
    limits: dict[str, TenantLimit] = Field(
        default_factory=dict,
        max_length=200,
        json_schema_extra=rules.TENANT_LIMITS,
        description="The same with a weight, or with an end: tenant id (UUID) to maxConcurrent, weight and until. "
        "Default: none.",
    )

    @property
    def single(self) -> dict[str, TenantLimit]:
        """The limits of single tenants, from both fields."""
        return {**{tenant: TenantLimit(max_concurrent=most) for tenant, most in self.overrides.items()}, **self.limits}

    @property
    def is_set(self) -> bool:
        """Whether the pool limits any tenant."""
        return self.max_concurrent is not None or bool(self.overrides or self.limits)

    @property
    def least(self) -> int:
        """The lowest limit of any tenant that is not paused; the highest that there is with pauses alone; 0: none."""
        found = {limit.max_concurrent for limit in self.single.values()} | {self.max_concurrent}
        return min(filter(None, found), default=MOST_CONCURRENT if 0 in found else 0)

    @property
    def has_pause(self) -> bool:
        """Whether a tenant is paused."""
        return 0 in self.overrides.values() or any(limit.max_concurrent == 0 for limit in self.limits.values())

    def type_limit_of(self, type_: str, tenant_id: str) -> TenantLimit | None:
        """The limit of one type, which only the view has."""
        del self, type_, tenant_id
        return None

    def type_cap_of(self, type_: str, tenant_id: str) -> int | None:
        """Jobs of one type at once that this tenant may have, beside `cap_of`; None: no limit."""
        limit = self.type_limit_of(type_, tenant_id)
        return None if limit is None else limit.max_concurrent

    def cap_of(self, tenant_id: str) -> int | None:
        """Jobs at once that this tenant may have, as long as its limit lasts; None: no limit."""
        if tenant_id in self.limits:
            own = self.limits[tenant_id].max_concurrent
            return self.max_concurrent if own is None else own
        return self.overrides.get(tenant_id, self.max_concurrent)


UNLIMITED = Tenants()


class ScaleDown(Model):
    """How long the controller waits before it removes workers."""

    stabilization_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3_600,
        description="Seconds that fewer workers must have been enough before workers are removed. Unset: twice the "
        "learned start time of a worker, between 10 and 60 seconds.",
    )


class Retry(Model):
    """Attempts of a job, and the pauses between them; the workers of the pool apply it."""

    max_attempts: int = Field(
        default=5,
        ge=1,
        le=1_000,
        description="Attempts of a job before it ends as failed, unless its handler decides otherwise. Default: 5.",
    )
    base_seconds: int = Field(
        default=2,
        ge=1,
        le=DAY_SECONDS,
        description="Seconds before the second attempt; doubled for each further attempt, half of it random. Default: "
        "2.",
    )
    max_seconds: int = Field(
        default=3_600,
        ge=1,
        le=30 * DAY_SECONDS,
        description="Maximum seconds between two attempts. Default: 3600.",
    )


class Retention(Model):
    """How long ended jobs stay in the table; the controller deletes older ones."""

    completed_seconds: int | None = Field(
        default=None,
        ge=RETENTION_MIN_SECONDS,
        le=3_650 * DAY_SECONDS,
        description="Seconds after its end at which a completed job is deleted, with its result. Unset: not deleted. "
        "Recommended: 604800, 7 days.",
    )
    failed_seconds: int | None = Field(
        default=None,
        ge=RETENTION_MIN_SECONDS,
        le=3_650 * DAY_SECONDS,
        description="Seconds after its end at which a failed job is deleted, with its error. Unset: not deleted. "
        "Recommended: 7776000, 90 days.",
    )


class DatabaseSecret(Model):
    """The Secret, and the key in it, from which the workers read their database URL."""

    name: str = Field(
        default="jobtide-worker-db",
        min_length=1,
        max_length=253,
        pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        description="Name of the Secret, in the pool's namespace. Default: jobtide-worker-db.",
    )
    key: str = Field(
        default="url",
        min_length=1,
        max_length=253,
        pattern="^[-._a-zA-Z0-9]+$",
        description="Key in the Secret whose value is the database URL (postgresql://...). Default: url.",
    )


class JobWorkerPoolSpec(Model):
    """The desired state of one group of worker pods."""

    types: tuple[JobType, ...] = Field(
        min_length=1,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Values of job_queue.type that these workers handle, matched exactly. Required, at least one. "
        "Example: [thumbs, video.ingest].",
    )
    database: str = Field(
        default="main",
        min_length=1,
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=rules.DATABASE,
        description="Database with the job_queue table: one of the names under `databases` in the chart's values. "
        "Cannot be changed. Default: main.",
    )
    max_wait_seconds: int | None = Field(
        default=None,
        ge=1,
        le=DAY_SECONDS,
        description="The promise: seconds that a job may be due before a worker starts it. The number of workers "
        f"follows from the promise and from the learned duration of jobs. Default: {DEFAULT_MAX_WAIT_SECONDS}, unless "
        "jobsPerWorker is set.",
    )
    promises: dict[str, Annotated[int, Field(ge=1, le=DAY_SECONDS)]] = Field(
        default_factory=dict,
        max_length=64,
        description="Promises of single types, instead of maxWaitSeconds: type to seconds. Workers take the type that "
        "is nearest to breaking its promise. Not with jobsPerWorker. Default: none. "
        "Example: {thumbs: 30, video.ingest: 600}.",
    )
    jobs_per_worker: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Waiting and running jobs per worker: the simple alternative to maxWaitSeconds. Unset: "
        "maxWaitSeconds decides.",
    )
    min_replicas: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Minimum number of workers, even without jobs. Default: 0.",
    )
    max_replicas: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Maximum number of workers. Default: 10.",
    )
    schedules: tuple[Annotated[Schedule, Field(json_schema_extra=WINDOW_RULES)], ...] = Field(
        default_factory=tuple,
        max_length=SCHEDULES_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Windows by the clock, in which other floors, ceilings and promises hold. Where windows overlap, "
        "the later one in the list wins, field by field. Default: none.",
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Fixed number of workers, as set by `kubectl scale`; there is no automatic scaling until it is "
        "removed. Unset: automatic.",
    )
    concurrency: int = Field(
        default=4,
        ge=1,
        le=1_000,
        description="Jobs that one worker runs at once. Default: 4.",
    )
    tenants: Tenants = Field(
        default=Tenants(),
        description="Limits of running jobs per tenant. Default: none.",
    )
    scale_down: ScaleDown = Field(
        default=ScaleDown(),
        description="How workers are removed. Default: automatic.",
    )
    drain_seconds: int = Field(
        default=600,
        ge=0,
        le=7 * DAY_SECONDS,
        description="Seconds that a stopping worker has to finish its jobs before it returns them to the queue. It "
        "exits as soon as they are done. Default: 600.",
    )
    retry: Retry = Field(
        default=Retry(),
        description="Retries of failed attempts. Default: 5 attempts, 2 to 3600 seconds apart.",
    )
    retention: Retention = Field(
        default=Retention(),
        description="Deletion of ended jobs of these types. Of two pools with the same type the longer time counts, "
        "and a pool without one keeps the jobs. Default: none is deleted.",
    )
    database_secret: DatabaseSecret = Field(
        default=DatabaseSecret(),
        description="Secret with the workers' database URL, mounted into their pods as a file. Default: key url of "
        "jobtide-worker-db.",
    )
    paused: bool = Field(
        default=False,
        description="Stops all workers: they finish their running jobs and exit, other jobs wait. To keep a fixed "
        "number of workers instead, set replicas. Default: false.",
    )
    paused_until: AwareDatetime | None = Field(
        default=None,
        description="Time at which a pause ends by itself. Needs paused: true. Unset: it lasts until paused is false. "
        "Example: 2026-11-30T08:00:00Z.",
    )
    on_all_failing: OnAllFailing = Field(
        default=OnAllFailing.SCALE,
        description="Scaling while every attempt fails: Scale continues to keep the promise, Hold adds no workers. "
        "Retries back off by themselves, so Hold mostly delays the jobs that follow. Default: Scale.",
    )
    template: PodTemplate = Field(
        description="Pod template of the workers (PodTemplateSpec). The container named worker gets command, "
        "environment, probes and grace period unless it sets them. Required.",
    )

    @property
    def wait_seconds(self) -> int:
        """maxWaitSeconds, or its default."""
        return DEFAULT_MAX_WAIT_SECONDS if self.max_wait_seconds is None else self.max_wait_seconds

    def promise_of(self, type_: str) -> int:
        """Seconds that a job of this type may be due before a worker starts it."""
        return self.promises.get(type_, self.wait_seconds)

    @property
    def all_promises(self) -> list[int]:
        """Those of its types, the shortest first, each once."""
        if not self.promises or self.jobs_per_worker is not None:
            return [self.wait_seconds]
        return sorted({self.promise_of(type_) for type_ in self.types})
