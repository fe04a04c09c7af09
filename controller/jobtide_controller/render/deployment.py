"""Renders a pool's Deployment for two field managers, each with only the fields that it owns.

`jobtide-template` applies everything but the number of replicas; `jobtide-scale` applies that number alone. The first
apply has both, since a Deployment created without a number would start with one worker.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jobtide_controller.api.rules import DRAIN_MARGIN_SECONDS
from jobtide_controller.api.v1alpha1 import API_VERSION, KIND, JobWorkerPool
from jobtide_controller.render.container import DATABASE_VOLUME, completed, given

POOL_LABEL = "jobtide.dev/pool"
NAME_LABEL = "app.kubernetes.io/name"
WORKER_NAME = "jobtide-worker"
MANAGED_BY = {"app.kubernetes.io/managed-by": "jobtide"}

# The fields of a pool's spec that its pod template is rendered from.
RENDERED = ("template", "types", "concurrency", "drain_seconds", "retry", "tenants", "database_secret")

PROGRESS_DEADLINE_SECONDS = 600
REVISIONS_KEPT = 2


def deployment_name(pool: JobWorkerPool) -> str:
    """The name of the pool's Deployment."""
    return deployment_name_of(pool.metadata.name)


def deployment_name_of(pool_name: str) -> str:
    """The same, by the pool's name."""
    return f"{pool_name}-worker"


def selector_labels(pool: JobWorkerPool) -> dict[str, str]:
    """The labels that select the pool's pods. A Deployment's selector is immutable, so they never change."""
    return {NAME_LABEL: WORKER_NAME, POOL_LABEL: pool.metadata.name}


def selector(pool: JobWorkerPool) -> str:
    """The selector as text, for `kubectl scale` and for users."""
    return ",".join(f"{key}={value}" for key, value in selector_labels(pool).items())


def labels(pool: JobWorkerPool) -> dict[str, str]:
    """The labels of the Deployment and its pods."""
    return {**selector_labels(pool), "app.kubernetes.io/instance": pool.metadata.name, **MANAGED_BY}


def deployment_first_apply(pool: JobWorkerPool, replicas: int, caps: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The manifest that creates the Deployment, for the manager `jobtide-scale`.

    That manager must own the number before `jobtide-template` applies without one: else that apply resets it to one.
    """
    manifest = deployment_template_apply(pool, caps)
    return {**manifest, "spec": {"replicas": replicas, **manifest["spec"]}}


def deployment_template_apply(pool: JobWorkerPool, caps: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The Deployment without a number of replicas, for the manager `jobtide-template`.

    `caps`: limits of tenants for workers that do not read stored ones, see container.py; None: those of the pool.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(pool),
            "namespace": pool.metadata.namespace,
            "labels": labels(pool),
            "ownerReferences": [owner_reference(pool)],
        },
        "spec": {
            "selector": {"matchLabels": selector_labels(pool)},
            "revisionHistoryLimit": REVISIONS_KEPT,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            # New workers start before old ones drain: a rollout never has fewer workers than needed.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": _pod_template(pool, caps),
        },
    }


def grace_seconds(pool: JobWorkerPool) -> int:
    """Seconds between SIGTERM and SIGKILL: the template's own, or long enough for the drain."""
    ours = pool.spec.drain_seconds + DRAIN_MARGIN_SECONDS
    own = pool.spec.template["spec"].get("terminationGracePeriodSeconds")
    return ours if own is None else int(own)


def owner_reference(pool: JobWorkerPool) -> dict[str, Any]:
    """With it Kubernetes deletes the Deployment when the pool is deleted: no finalizer can get stuck."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_template(pool: JobWorkerPool, caps: Mapping[str, str] | None) -> dict[str, Any]:
    template = copy.deepcopy(pool.spec.template)
    metadata = given(template.get("metadata"))
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels(pool)}
    return {**template, "metadata": metadata, "spec": _pod_spec(pool, given(template["spec"]), caps)}


def _pod_spec(pool: JobWorkerPool, spec: dict[str, Any], caps: Mapping[str, str] | None) -> dict[str, Any]:
    """Adds what the template does not set."""
    spec["terminationGracePeriodSeconds"] = grace_seconds(pool)
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("enableServiceLinks", False)
    if _is_alone(spec):
        # The first process of a container loses a SIGTERM that comes before its handler is set: a worker stopped while
        # Python starts would keep claiming for its whole grace period, and be killed in the middle of a job.
        spec.setdefault("shareProcessNamespace", True)
    spec["securityContext"] = _pod_security(given(spec.get("securityContext")))
    spec["containers"] = [
        completed(container, pool, caps) if container["name"] == "worker" else container
        for container in spec["containers"]
    ]
    if _mounts_database(spec):
        spec["volumes"] = [*spec.get("volumes", ()), _database_volume(pool)]
    return spec


def _is_alone(spec: dict[str, Any]) -> bool:
    """Whether no other container runs beside the worker: in one process namespace it could read the worker's files and
    environment, with the database's password. With hostPID, the API server refuses a shared namespace.
    """
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    return len(spec["containers"]) == 1 and not sidecars and not spec.get("hostPID")


def _pod_security(own: dict[str, Any]) -> dict[str, Any]:
    """As the restricted Pod Security Standard requires, unless the template sets root."""
    root = own.get("runAsUser") == 0
    ours = {"seccompProfile": {"type": "RuntimeDefault"}, **({} if root else {"runAsNonRoot": True})}
    return {**ours, **own}


def _mounts_database(spec: dict[str, Any]) -> bool:
    mounted = any(
        mount["name"] == DATABASE_VOLUME
        for container in spec["containers"]
        for mount in container.get("volumeMounts") or ()
    )
    return mounted and all(volume["name"] != DATABASE_VOLUME for volume in spec.get("volumes", ()))


def _database_volume(pool: JobWorkerPool) -> dict[str, Any]:
    secret = pool.spec.database_secret
    return {
        "name": DATABASE_VOLUME,
        "secret": {"secretName": secret.name, "items": [{"key": secret.key, "path": "url"}]},
    }
