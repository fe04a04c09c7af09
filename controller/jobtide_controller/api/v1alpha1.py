"""jobtide.dev/v1alpha1: the JobWorkerPool, single source of the CRD, its documentation and its defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobtide_controller.api.base import Model
from jobtide_controller.api.schedules import Schedule
from jobtide_controller.api.spec import (
    DatabaseSecret,
    JobWorkerPoolSpec,
    OnAllFailing,
    Retention,
    Retry,
    ScaleDown,
    Tenants,
)
from jobtide_controller.api.status import JobWorkerPoolStatus

GROUP = "jobtide.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "JobWorkerPool"
PLURAL = "jobworkerpools"

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "DatabaseSecret",
    "JobWorkerPool",
    "JobWorkerPoolSpec",
    "JobWorkerPoolStatus",
    "ObjectMeta",
    "OnAllFailing",
    "Retention",
    "Retry",
    "ScaleDown",
    "Schedule",
    "Tenants",
]


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that the controller reads."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0


class JobWorkerPool(Model):
    """A group of worker pods that run the jobs of some types; their number follows from the promised waiting time."""

    api_version: Literal["jobtide.dev/v1alpha1"] = "jobtide.dev/v1alpha1"
    kind: Literal["JobWorkerPool"] = "JobWorkerPool"
    metadata: ObjectMeta
    spec: JobWorkerPoolSpec = Field(description="The desired state, set by the user.")
    status: JobWorkerPoolStatus | None = Field(
        default=None, description="The observed state, reported by the controller."
    )
