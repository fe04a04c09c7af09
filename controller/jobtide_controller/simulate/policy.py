"""The pool to simulate: from a YAML file, from flags, or both."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jobtide_controller.api.refusals import refusals
from jobtide_controller.api.v1alpha1 import KIND, JobWorkerPoolSpec

TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "simulated"}]}}

FIELDS = {
    "max_wait_seconds": "maxWaitSeconds",
    "jobs_per_worker": "jobsPerWorker",
    "min_replicas": "minReplicas",
    "max_replicas": "maxReplicas",
    "concurrency": "concurrency",
}


class PolicyError(Exception):
    """The pool can't be simulated; the message says why."""


def of_file(path: Path, name: str | None) -> dict[str, Any]:
    """The spec of the only JobWorkerPool in a file, or of the one with this name. Raises PolicyError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"can't read the pool from {path}: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise PolicyError(f"can't read the pool from {path}: it is nested too deeply") from None
    pools = {
        _name(document): document.get("spec") or {}
        for document in documents
        if isinstance(document, dict) and document.get("kind") == KIND
    }
    if any(not isinstance(spec, dict) for spec in pools.values()):
        raise PolicyError(f"{path}: the spec of a {KIND} must be an object")
    if name is None and len(pools) == 1:
        name = next(iter(pools))
    if name is None or name not in pools:
        advice = "choose one with --pool-name" if name is None else f'none has the name "{name}"'
        raise PolicyError(f"{path} has {len(pools)} pools ({', '.join(pools) or 'none'}): {advice}")
    checked({"types": ["any"], "template": TEMPLATE, **pools[name]})  # before its types select jobs and flags change it
    return dict(pools[name])


def build(spec: dict[str, Any], types: Sequence[str], flags: Namespace) -> JobWorkerPoolSpec:
    """The spec of the file, overridden by the flags. Raises PolicyError."""
    chosen = {"types": list(types), "template": TEMPLATE, **spec}
    chosen |= {field: getattr(flags, flag) for flag, field in FIELDS.items() if getattr(flags, flag) is not None}
    if flags.jobs_per_worker is not None and flags.max_wait_seconds is None:
        chosen.pop("maxWaitSeconds", None)
    if flags.jobs_per_worker is not None and not flags.type_promise:
        chosen.pop("promises", None)
    if (flags.max_wait_seconds is not None or flags.type_promise) and flags.jobs_per_worker is None:
        chosen.pop("jobsPerWorker", None)
    if flags.type_promise:
        chosen["promises"] = {**(chosen.get("promises") or {}), **dict(flags.type_promise)}
    if flags.stabilization_seconds is not None:
        chosen["scaleDown"] = {"stabilizationSeconds": flags.stabilization_seconds}
    if flags.tenant_max_concurrent is not None:
        chosen["tenants"] = {**(chosen.get("tenants") or {}), "maxConcurrent": flags.tenant_max_concurrent}
    return checked(chosen)


def checked(spec: dict[str, Any]) -> JobWorkerPoolSpec:
    """The spec. Raises PolicyError for one that the API server would refuse."""
    if found := refused(spec):
        raise PolicyError(f"the pool is not valid: {'; '.join(found)}")
    return JobWorkerPoolSpec.model_validate(spec)


def refused(spec: dict[str, Any]) -> list[str]:
    """Why the API server would refuse a pool with this spec; empty if it would not."""
    return refusals({"metadata": {"name": "simulated", "namespace": "default"}, "spec": spec})


def promising(pool: JobWorkerPoolSpec, seconds: int) -> JobWorkerPoolSpec:
    """The same pool with this promise for all types. Raises PolicyError."""
    spec = {name: value for name, value in pool.as_object().items() if name not in {"jobsPerWorker", "promises"}}
    return checked({**spec, "maxWaitSeconds": seconds})


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
