"""Objects as the API server sends them, with the fields that matter here, and a scripted API."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.telemetry.events import Event

Raw = dict[str, Any]

CREATED = "2026-11-24T12:00:00Z"
_versions = itertools.count(100)


def version() -> int:
    """A resourceVersion that is newer than all before."""
    return next(_versions)


def pool(
    name: str = "thumbs", *, uid: str = "", version_: int | None = None, generation: int = 1,
    status: Raw | None = None, **spec: Any,
) -> Raw:  # fmt: skip
    template = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
    made = {
        "apiVersion": "jobtide.dev/v1alpha1",
        "kind": "JobWorkerPool",
        "metadata": {
            "name": name,
            "namespace": "media",
            "uid": uid or f"uid-{name}",
            "generation": generation,
            "resourceVersion": str(version_ or version()),
        },
        "spec": {"types": [name], "template": template, **spec},
    }
    return made if status is None else {**made, "status": status}


def pod(
    name: str = "thumbs-worker-a", *, of: str = "thumbs", uid: str = "", version_: int | None = None,
    ready_at: str | None = None, phase: str = "Running", **more: Any,
) -> Raw:  # fmt: skip
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready_at}] if ready_at else []
    metadata = {
        "name": name,
        "namespace": "media",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version_ or version()),
        "creationTimestamp": CREATED,
        "labels": {"jobtide.dev/pool": of},
        **more.pop("metadata", {}),
    }
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase, "conditions": conditions, **more}}


def deployment(
    name: str = "thumbs", *, owner: str | None = None, uid: str = "uid-deployment", version_: int | None = None,
    replicas: int = 1, template_hash: str | None = None, managers: Mapping[str, Raw] | None = None, **spec: Any,
) -> Raw:  # fmt: skip
    owned = {"jobtide-template": {"f:spec": {"f:template": {}}}, "jobtide-scale": {"f:spec": {"f:replicas": {}}}}
    entries = [
        {"manager": manager, "operation": "Apply", "fieldsV1": fields}
        for manager, fields in (owned if managers is None else managers).items()
    ]
    owner_uid = f"uid-{name}" if owner is None else owner
    reference = {"apiVersion": "jobtide.dev/v1alpha1", "kind": "JobWorkerPool", "name": name, "controller": True}
    references = [{**reference, "uid": owner_uid}] if owner_uid else []
    return {
        "kind": "Deployment",
        "metadata": {
            "name": f"{name}-worker",
            "namespace": "media",
            "uid": uid,
            "resourceVersion": str(version_ or version()),
            "ownerReferences": references,
            "managedFields": entries,
            "annotations": {"jobtide.dev/template-hash": template_hash} if template_hash else {},
        },
        "spec": {"replicas": replicas, "template": {"spec": {}}, **spec},
        "status": {},
    }


@dataclass
class Clock:
    """Time stands still until a test moves it."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Events:
    """Records the emitted events."""

    seen: list[Event] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        self.seen.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


def refused(code: int, reason: str = "", *, retry_after_seconds: float | None = None) -> ApiError:
    return ApiError(code, reason, f"refused with {code}", retry_after_seconds=retry_after_seconds)


async def settle() -> None:
    """Run everything that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


Handler = Callable[[str, str, Raw | None], Raw]


@dataclass
class ScriptedApi:
    """Answers with the test's own function and records the requests."""

    handler: Handler
    requests: list[tuple[str, str, Raw | None]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Raw | None = None,
        content_type: str = "application/json", timeout_seconds: float = 1.0,
    ) -> Raw:  # fmt: skip
        self.requests.append((method, path, body))
        return self.handler(method, path, body)
