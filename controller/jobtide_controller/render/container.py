"""Adds to the container named worker what its template does not set; docs/architecture.md has the contract."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jobtide_controller.api.spec import JobWorkerPoolSpec, Tenants
from jobtide_controller.api.v1alpha1 import JobWorkerPool

DATABASE_VOLUME = "jobtide-database"
DATABASE_DIRECTORY = "/var/run/jobtide/database"
DATABASE_ENV = "JOBTIDE_DATABASE_URL_FILE"
OWN_DATABASE_ENV = "JOBTIDE_DATABASE_URL"
CAPS = ("JOBTIDE_TENANT_MAX_CONCURRENT", "JOBTIDE_TENANT_OVERRIDES")
PORT_ENV = "JOBTIDE_HTTP_PORT"
HTTP_PORT = 8080
READY_PATH = "/readyz"
NO_PORT = 0  # the worker serves no HTTP, so it has no probes

_PORT_NUMBER = re.compile(r"[0-9]{1,5}")


def given(fields: dict[str, Any] | None) -> dict[str, Any]:
    """The fields that are set: null is an unset field to Kubernetes, and a default of ours takes its place."""
    return {name: value for name, value in (fields or {}).items() if value is not None}


def completed(container: dict[str, Any], pool: JobWorkerPool, caps: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The container with command, environment, probes, ports, mounts and security settings; the template's own win."""
    container = given(container)
    own = {entry["name"] for entry in container.get("env", ())}
    ours = [entry for entry in _environment(pool, caps) if entry["name"] not in own]
    if OWN_DATABASE_ENV in own:  # with two addresses of the database it would not be clear which one is used
        ours = [entry for entry in ours if entry["name"] != DATABASE_ENV]
    port = _port(container)
    return {
        "command": ["jobtide", "worker"],
        # A worker that can't start says why in its last line, which is then in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_probes(port),
        **container,
        "env": [*container.get("env", ()), *ours],
        "ports": _ports(container, port),
        "volumeMounts": _mounts(container, own_database=bool(own & {DATABASE_ENV, OWN_DATABASE_ENV})),
        "securityContext": _security(given(container.get("securityContext"))),
    }


def worker_settings(pool: JobWorkerPool, *, port: int, caps: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings that a worker of this pool gets, by variable, without the database and its own UID and name.

    `caps`: the variables of CAPS; None: the pool's limits now. Where the database stores limits, workers read them
    there, and only those of an earlier version need these: they keep the ones that their Deployment was created with,
    so that a change of limits changes no template.
    """
    spec = pool.spec
    return {
        "JOBTIDE_POOL": f"{pool.metadata.namespace}/{pool.metadata.name}",
        "JOBTIDE_TYPES": json.dumps(list(spec.types)),
        "JOBTIDE_CONCURRENCY": str(spec.concurrency),
        "JOBTIDE_DRAIN_SECONDS": str(spec.drain_seconds),
        "JOBTIDE_MAX_ATTEMPTS": str(spec.retry.max_attempts),
        "JOBTIDE_RETRY_BASE_SECONDS": str(spec.retry.base_seconds),
        "JOBTIDE_RETRY_MAX_SECONDS": str(spec.retry.max_seconds),
        PORT_ENV: str(port),
        **(_caps(spec.tenants) if caps is None else caps),
        **_promises(spec),
    }


def _environment(pool: JobWorkerPool, caps: Mapping[str, str] | None) -> list[dict[str, Any]]:
    values = {DATABASE_ENV: f"{DATABASE_DIRECTORY}/url", **worker_settings(pool, port=HTTP_PORT, caps=caps)}
    return [
        *({"name": name, "value": _literal(value)} for name, value in values.items()),
        _from_field("JOBTIDE_POD_UID", "metadata.uid"),
        _from_field("JOBTIDE_POD_NAME", "metadata.name"),
    ]


def _literal(value: str) -> str:
    """So written that the worker sees `value`: Kubernetes expands $(NAME), and makes $$ one $."""
    return value.replace("$", "$$")


def _caps(tenants: Tenants) -> dict[str, str]:
    most, overrides = CAPS
    caps = {}
    if tenants.max_concurrent is not None:
        caps[most] = str(tenants.max_concurrent)
    limits = {tenant: one.max_concurrent for tenant, one in tenants.single.items() if one.max_concurrent is not None}
    if limits:
        caps[overrides] = json.dumps(dict(sorted(limits.items())))
    return caps


def _promises(spec: JobWorkerPoolSpec) -> dict[str, str]:
    """Of all types, also those with the pool's own: the worker orders them by it."""
    if not spec.promises:
        return {}
    return {"JOBTIDE_PROMISES": json.dumps({type_: spec.promise_of(type_) for type_ in sorted(spec.types)})}


def _from_field(name: str, path: str) -> dict[str, Any]:
    # With apiVersion, which the API server would add: a fieldRef is compared as a whole, so a difference from the
    # stored one is a conflict between our two field managers.
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _port(container: dict[str, Any]) -> int:
    """The port of the worker's HTTP server, also for the probes: the template's own, or HTTP_PORT."""
    own = [entry.get("value") for entry in container.get("env", ()) if entry["name"] == PORT_ENV]
    return int(own[0]) if own and own[0] and _PORT_NUMBER.fullmatch(own[0]) else HTTP_PORT


def _probes(port: int) -> dict[str, Any]:
    """An unreachable database makes workers unready and restarts none: only /readyz checks it."""
    if port == NO_PORT:
        return {}

    def get(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": port}}

    return {
        "startupProbe": {**get("/livez"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**get(READY_PATH), "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3},
        "livenessProbe": {**get("/livez"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
    }


def _ports(container: dict[str, Any], port: int) -> list[dict[str, Any]]:
    own = list(container.get("ports", ()))
    taken = any(entry.get("containerPort") == port or entry.get("name") == "metrics" for entry in own)
    if taken or port == NO_PORT:
        return own
    return [*own, {"name": "metrics", "containerPort": port, "protocol": "TCP"}]


def _mounts(container: dict[str, Any], *, own_database: bool) -> list[dict[str, Any]]:
    own = list(container.get("volumeMounts", ()))
    if own_database or any(mount["mountPath"] == DATABASE_DIRECTORY for mount in own):
        return own
    return [*own, {"name": DATABASE_VOLUME, "mountPath": DATABASE_DIRECTORY, "readOnly": True}]


def _security(own: dict[str, Any]) -> dict[str, Any]:
    """As the restricted Pod Security Standard requires. The root file system stays writable: handlers use /tmp."""
    ours: dict[str, Any] = {"capabilities": {"drop": ["ALL"]}}
    if not own.get("privileged"):
        ours["allowPrivilegeEscalation"] = False
    return {**ours, **own}
