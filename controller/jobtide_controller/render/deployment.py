"""A pool as a Deployment: what two field managers apply, each only what it owns.

`jobtide-template` applies everything but the number of replicas; `jobtide-scale` applies that number
alone. The first apply carries both, for a Deployment made without a number would start with one worker.
"""

from __future__ import annotations

import copy
from typing import Any

from jobtide_controller.api.rules import DRAIN_MARGIN_SECONDS
from jobtide_controller.api.v1alpha1 import API_VERSION, KIND, JobWorkerPool
from jobtide_controller.render.container import DATABASE_VOLUME, completed

POOL_LABEL = "jobtide.dev/pool"
NAME_LABEL = "app.kubernetes.io/name"
WORKER_NAME = "jobtide-worker"
MANAGED_BY = {"app.kubernetes.io/managed-by": "jobtide"}

# The fields of a pool's spec that its pods are made from.
RENDERED = ("template", "types", "concurrency", "drain_seconds", "retry", "tenants", "database_secret")

PROGRESS_DEADLINE_SECONDS = 600
REVISIONS_KEPT = 2


def deployment_name(pool: JobWorkerPool) -> str:
    return f"{pool.metadata.name}-worker"


def selector_labels(pool: JobWorkerPool) -> dict[str, str]:
    """Never changed: a Deployment's selector can't be."""
    return {NAME_LABEL: WORKER_NAME, POOL_LABEL: pool.metadata.name}


def selector(pool: JobWorkerPool) -> str:
    """The same as text, for `kubectl scale` and for a person."""
    return ",".join(f"{key}={value}" for key, value in selector_labels(pool).items())


def labels(pool: JobWorkerPool) -> dict[str, str]:
    return {**selector_labels(pool), "app.kubernetes.io/instance": pool.metadata.name, **MANAGED_BY}


def deployment_first_apply(pool: JobWorkerPool, replicas: int) -> dict[str, Any]:
    """The Deployment as it begins, for the scale manager: it must own the number before the template manager
    applies without one, or that second apply would reset it to one.
    """
    manifest = deployment_template_apply(pool)
    return {**manifest, "spec": {"replicas": replicas, **manifest["spec"]}}


def deployment_template_apply(pool: JobWorkerPool) -> dict[str, Any]:
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
            # New workers first, then the old ones drain: a rollout never has fewer than are needed.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": _pod_template(pool),
        },
    }


def owner_reference(pool: JobWorkerPool) -> dict[str, Any]:
    """Deleting the pool deletes its Deployment, by Kubernetes' own hand: no finalizer can get stuck."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_template(pool: JobWorkerPool) -> dict[str, Any]:
    template = copy.deepcopy(pool.spec.template)
    metadata = template.get("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), **labels(pool)}
    return {**template, "metadata": metadata, "spec": _pod_spec(pool, template["spec"])}


def _pod_spec(pool: JobWorkerPool, spec: dict[str, Any]) -> dict[str, Any]:
    """What the template leaves open; whatever it sets stays."""
    spec.setdefault("terminationGracePeriodSeconds", pool.spec.drain_seconds + DRAIN_MARGIN_SECONDS)
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("enableServiceLinks", False)
    # The first process of a container loses a SIGTERM that comes before its handler is set: told to go while Python
    # starts, a worker would claim on for its whole grace period, to be killed in mid-job.
    if not spec.get("hostPID"):  # the two exclude each other
        spec.setdefault("shareProcessNamespace", True)
    spec["securityContext"] = _pod_security(spec.get("securityContext", {}))
    spec["containers"] = [
        completed(container, pool) if container["name"] == "worker" else container for container in spec["containers"]
    ]
    if _mounts_database(spec):
        spec["volumes"] = [*spec.get("volumes", ()), _database_volume(pool)]
    return spec


def _pod_security(given: dict[str, Any]) -> dict[str, Any]:
    """As the restricted Pod Security standard asks, unless the template says root."""
    root = given.get("runAsUser") == 0
    ours = {"seccompProfile": {"type": "RuntimeDefault"}, **({} if root else {"runAsNonRoot": True})}
    return {**ours, **given}


def _mounts_database(spec: dict[str, Any]) -> bool:
    mounted = any(
        mount["name"] == DATABASE_VOLUME
        for container in spec["containers"]
        for mount in container.get("volumeMounts", ())
    )
    return mounted and all(volume["name"] != DATABASE_VOLUME for volume in spec.get("volumes", ()))


def _database_volume(pool: JobWorkerPool) -> dict[str, Any]:
    secret = pool.spec.database_secret
    return {
        "name": DATABASE_VOLUME,
        "secret": {"secretName": secret.name, "items": [{"key": secret.key, "path": "url"}]},
    }
