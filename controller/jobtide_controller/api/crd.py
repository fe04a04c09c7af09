"""Builds the CustomResourceDefinition from the pydantic models; `python -m dev.generate` writes it to files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jobtide_controller.api import rules
from jobtide_controller.api.spec import JobWorkerPoolSpec
from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.api.v1alpha1 import GROUP, KIND, PLURAL, VERSION

Schema = dict[str, Any]


# The status of a new pool, as the API server fills it in: no generation is observed. Without a status kstatus, and so
# Flux and `helm --wait`, takes a pool that no controller has seen for one that works.
UNREPORTED = {"observedGeneration": -1}


class Column(NamedTuple):
    """One column of `kubectl get jwp`; priority 1 is shown with -o wide."""

    name: str
    type: str
    path: str
    description: str
    priority: int = 0


COLUMNS = (
    Column("Pending", "string", ".status.display.pending", "Waiting jobs"),
    Column("Oldest", "string", ".status.display.oldest", "How long the oldest due job has waited"),
    Column("Busy", "string", ".status.display.busy", "Workers that run at least one job"),
    Column("Desired", "integer", ".status.desiredReplicas", "Desired workers"),
    Column("Ready", "integer", ".status.readyReplicas", "Workers that are ready"),
    Column("Reason", "string", ".status.reason", "The state of the pool in one word"),
    Column("Min", "integer", ".spec.minReplicas", "Minimum number of workers", 1),
    Column("Max", "integer", ".spec.maxReplicas", "Maximum number of workers", 1),
    Column("Processing", "string", ".status.display.processing", "Running jobs", 1),
    Column("Tenants", "string", ".status.display.tenants", "Tenants with jobs that wait or run", 1),
    Column("Limited-By", "string", ".status.display.limitedBy", "Limits of the number of workers", 1),
    Column("Age", "date", ".metadata.creationTimestamp", "Time since the pool was created"),
)


def crd() -> dict[str, Any]:
    """The whole object, for `kubectl apply`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["jwp"],
                "categories": ["jobtide", "all"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def structural(schema: Mapping[str, Any]) -> Schema:
    """A pydantic JSON schema in Kubernetes' structural form: no references, nulls or titles; nested defaults."""
    return _structural(schema, definitions=schema.get("$defs", {}))


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [_column(column) for column in COLUMNS],
        "schema": {"openAPIV3Schema": _root()},
    }


def _root() -> Schema:
    spec = structural(JobWorkerPoolSpec.model_json_schema())
    # Its fields without defaults: the API server must not fill in numbers that no controller has counted.
    status = _without_defaults(structural(JobWorkerPoolStatus.model_json_schema()))
    return {
        "type": "object",
        "description": "A group of worker pods that run the jobs of some types; their number follows from the promised "
        "waiting time.",
        "required": ["spec"],
        **rules.POOL,
        "properties": {
            "apiVersion": {"type": "string", "description": "jobtide.dev/v1alpha1."},
            "kind": {"type": "string", "description": "JobWorkerPool."},
            "metadata": {"type": "object"},
            "spec": {**spec, "description": "The desired state, set by the user. Required.", **rules.SPEC},
            "status": {
                **status,
                "description": "The observed state, reported by the controller.",
                "default": UNREPORTED,
            },
        },
    }


def _column(column: Column) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return {**rendered, "priority": column.priority} if column.priority else rendered


_DROPPED = frozenset({"$defs", "title", "default", "properties", "items", "anyOf", "allOf", "$ref", "const"})


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Schema:
    schema = _inlined(schema, definitions)
    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    if out.get("additionalProperties") is False:
        del out["additionalProperties"]
    if "const" in schema:
        out["enum"] = [schema["const"]]
    if "properties" in schema:
        out["properties"] = {name: _structural(value, definitions) for name, value in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            out[key] = _structural(schema[key], definitions)
    if "default" in schema and schema["default"] is not None:
        out["default"] = _default(schema, out)
    return out


def _inlined(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Mapping[str, Any]:
    """The schema with its references inlined; its own description and default override theirs."""
    own = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}
    parts = [part for part in schema.get("anyOf", schema.get("allOf", ())) if part.get("type") != "null"]
    if "$ref" in schema:
        parts.append(definitions[schema["$ref"].removeprefix("#/$defs/")])
    if not parts:
        return schema
    if len(parts) > 1:
        raise ValueError(f"{schema.get('description', schema)!r} is a union; a structural schema has one type")
    return {**_inlined(parts[0], definitions), **own}


def _default(schema: Mapping[str, Any], out: Schema) -> Any:
    """An object's default is {}: the API server then fills in the defaults of its fields, each stated once."""
    return {} if out.get("type") == "object" else schema["default"]


def _without_defaults(schema: Schema) -> Schema:
    out = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in out:
        out["properties"] = {name: _without_defaults(value) for name, value in out["properties"].items()}
    if isinstance(out.get("items"), dict):
        out["items"] = _without_defaults(out["items"])
    return out
