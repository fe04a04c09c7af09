"""Refuses what the API server refuses, in its words, for an object that no API server has checked.

The bounds are those of the CRD's schema, the rules those of rules.py. tests/cluster/bad has an object for each way to
be refused; the API server and this file must give the same answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api import rules, schedules
from jobtide_controller.api.crd import crd
from jobtide_controller.api.faults import faults, misfits
from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec

Json = Any
Schema = Mapping[str, Any]

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def refusals(document: Mapping[str, Any]) -> list[str]:
    """Why the API server would refuse this JobWorkerPool; empty if it would not. The namespace must be set."""
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found = [*_unknown(document, schema, "")] or [*_misfits(document, schema, "")]
    if found:
        return found
    try:
        pool = JobWorkerPool.model_validate({**document, "status": None})
    except ValidationError as error:  # a time that fits the schema and is none
        return misfits(error)
    return [*_broken_rules(pool)] or faults(document["spec"])


def _unknown(value: Json, schema: Schema, path: str) -> Iterator[str]:
    """kubectl and server-side apply refuse a field that the schema does not have, before all else."""
    properties = schema.get("properties")
    if isinstance(value, dict):
        inner = schema.get("additionalProperties") or {}
        is_open = properties is None or schema.get("x-kubernetes-preserve-unknown-fields")
        for name, item in value.items():
            if properties and name in properties:
                yield from _unknown(item, properties[name], f"{path}{name}.")
            elif not is_open:
                yield f'unknown field "{path}{name}"'
            elif isinstance(inner, Mapping):
                yield from _unknown(item, inner, f"{path}{name}.")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), f"{path.removesuffix('.')}[{position}].")


def _misfits(value: Json, schema: Schema, path: str) -> Iterator[str]:
    kind, wanted = _TYPES.get(type(value), type(value).__name__), schema.get("type")
    if wanted is not None and kind != wanted and (kind, wanted) != ("integer", "number"):
        yield f'{path}: Invalid value: "{kind}": {path} in body must be of type {wanted}: "{kind}"'
    elif isinstance(value, dict):
        yield from _misfits_of_object(value, schema, path)
    elif isinstance(value, list):
        yield from _misfits_of_list(value, schema, path)
    elif value not in schema.get("enum", [value]):
        choices = ", ".join(map(json.dumps, schema["enum"]))
        yield f"{path}: Unsupported value: {json.dumps(value)}: supported values: {choices}"
    else:
        yield from (
            f"{path}: Invalid value: {json.dumps(value)}: {path} in body {why}" for why in _bounds(value, schema)
        )


def _misfits_of_object(value: dict[str, Json], schema: Schema, path: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield f"{path}.{name}: Required value".removeprefix(".")
    inner = schema.get("additionalProperties")
    for name, item in value.items():
        below = schema.get("properties", {}).get(name) or (inner if isinstance(inner, Mapping) else {})
        if item is not None:  # the API server drops a null
            yield from _misfits(item, below, f"{path}.{name}".removeprefix("."))


def _misfits_of_list(value: list[Json], schema: Schema, path: str) -> Iterator[str]:
    if len(value) < (least := schema.get("minItems", 0)):
        yield f"{path}: Invalid value: {len(value)}: {path} in body should have at least {least} items"
    if len(value) > (most := schema.get("maxItems", len(value))):
        yield f"{path}: Too many: {len(value)}: must have at most {most} items"
    for position, item in enumerate(value):
        if schema.get("x-kubernetes-list-type") == "set" and item in value[:position]:
            yield f"{path}[{position}]: Duplicate value: {json.dumps(item)}"
        key = _key(item, schema)
        if key is not None and key in (_key(before, schema) for before in value[:position]):
            yield f"{path}[{position}]: Duplicate value: {json.dumps(key, separators=(',', ':'))}"
        yield from _misfits(item, schema.get("items", {}), f"{path}[{position}]")


def _key(item: Json, schema: Schema) -> dict[str, Json] | None:
    """What must be unique among the items of a list that Kubernetes merges like a map."""
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if not keys or not isinstance(item, dict) or any(key not in item for key in keys):
        return None
    return {key: item[key] for key in keys}


def _bounds(value: Json, schema: Schema) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) < (shortest := schema.get("minLength", 0)):
            yield f"should be at least {shortest} chars long"
        if len(value) > (longest := schema.get("maxLength", len(value))):
            yield f"should be at most {longest} chars long"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"should match '{schema['pattern']}'"
        if schema.get("format") == "date-time" and not _MOMENT.fullmatch(value):
            yield f"must be of type date-time: {json.dumps(value)}"
    elif not isinstance(value, bool):
        if value < (least := schema.get("minimum", value)):
            yield f"should be greater than or equal to {least}"
        if value > (most := schema.get("maximum", value)):
            yield f"should be less than or equal to {most}"


def _broken_rules(pool: JobWorkerPool) -> Iterator[str]:
    """Those of rules.py, in its order."""
    spec, name = pool.spec, pool.metadata.name
    if len(name) > rules.NAME_MAX_LENGTH:
        yield rules.words(rules.LONG_NAME, name, len(name))
    if spec.min_replicas > spec.max_replicas:
        yield rules.words(rules.MAX_BELOW_MIN, spec.max_replicas, spec.min_replicas)
    if spec.replicas is not None and spec.replicas > spec.max_replicas:
        yield rules.words(rules.PIN_ABOVE_MAX, spec.replicas, spec.max_replicas)
    if spec.max_wait_seconds is not None and spec.jobs_per_worker is not None:
        yield rules.words(rules.TWO_LAWS, spec.max_wait_seconds, spec.jobs_per_worker)
    if unknown := [type_ for type_ in spec.promises if type_ not in spec.types]:
        yield rules.words(rules.PROMISE_NO_TYPE, unknown[0])
    if spec.promises and spec.jobs_per_worker is not None:
        yield rules.words(rules.PROMISES_AND_JOBS, len(spec.promises), spec.jobs_per_worker)
    if spec.retry.base_seconds > spec.retry.max_seconds:
        yield rules.words(rules.RETRY_MAX_BELOW_BASE, spec.retry.max_seconds, spec.retry.base_seconds)
    yield from _broken_rules_of_windows(spec)
    if spec.paused_until is not None and not spec.paused:
        yield rules.words(rules.PAUSED_UNTIL_ALONE, spec.paused_until.isoformat())
    if spec.paused_until is not None and not rules.FIRST_YEAR <= spec.paused_until.year <= rules.LAST_YEAR:
        yield rules.words(rules.PAUSED_UNTIL_RANGE)
    yield from _broken_rules_of_names(spec)
    yield from _broken_rules_of_template(pool)


def _broken_rules_of_windows(spec: JobWorkerPoolSpec) -> Iterator[str]:
    for window in spec.schedules:
        name, least, most = window.name, window.min_replicas, window.max_replicas
        if not re.search(schedules.CRON, window.cron):
            yield rules.words(schedules.BAD_CRON, window.cron)
        if not re.search(schedules.TIMEZONE, window.timezone):
            yield rules.words(schedules.BAD_TIMEZONE, window.timezone)
        if least is None and most is None and window.max_wait_seconds is None:
            yield rules.words(schedules.NO_LIMIT, name)
        if least is not None and most is not None and least > most:
            yield rules.words(schedules.WINDOW_MAX_BELOW_MIN, name, most, least)
        if least is not None and most is None and least > spec.max_replicas:
            yield rules.words(rules.FLOOR_ABOVE_MAX, least, name, spec.max_replicas)
        if most is not None and least is None and most < spec.min_replicas:
            yield rules.words(rules.CEILING_BELOW_MIN, most, name, spec.min_replicas)
        if window.max_wait_seconds is not None and spec.jobs_per_worker is not None:
            yield rules.words(rules.WINDOW_OF_TWO_LAWS, name, spec.jobs_per_worker)


def _broken_rules_of_names(spec: JobWorkerPoolSpec) -> Iterator[str]:
    for type_ in spec.types:
        if type_ != type_.strip():
            yield rules.words(rules.OUTER_SPACE, type_, type_.strip())
        if type_ == "*":
            yield rules.words(rules.WILDCARD)
        if "\0" in type_:
            yield rules.words(rules.NUL)
    for tenant in spec.tenants.overrides:
        if not re.search(rules.UUID, tenant):
            yield rules.words(rules.TENANT_NO_UUID, tenant)
    yield from _broken_rules_of_limits(spec)


def _broken_rules_of_limits(spec: JobWorkerPoolSpec) -> Iterator[str]:
    for tenant, limit in spec.tenants.limits.items():
        if not re.search(rules.UUID, tenant):
            yield rules.words(rules.TENANT_LIMIT_NO_UUID, tenant)
        if limit.max_concurrent is None and limit.weight is None:
            yield rules.words(rules.TENANT_LIMIT_EMPTY, tenant)
        if limit.until is not None and not rules.FIRST_YEAR <= limit.until.year <= rules.LAST_YEAR:
            yield rules.words(rules.TENANT_LIMIT_UNTIL)
        if tenant in spec.tenants.overrides:
            yield rules.words(rules.TENANT_TWICE, tenant)


def _broken_rules_of_template(pool: JobWorkerPool) -> Iterator[str]:
    pod, drain_seconds = pool.spec.template["spec"], pool.spec.drain_seconds
    grace = pod.get("terminationGracePeriodSeconds")
    if grace is not None and grace < drain_seconds + rules.DRAIN_MARGIN_SECONDS:
        yield rules.words(rules.SHORT_GRACE, grace, drain_seconds)
    containers = {container["name"]: container for container in pod["containers"]}
    if "worker" not in containers:
        yield rules.words(rules.NO_WORKER, json.dumps(list(containers)))
    elif not containers["worker"].get("image"):
        yield rules.words(rules.NO_IMAGE)
    if pod.get("restartPolicy", "Always") != "Always":
        yield rules.words(rules.NOT_ALWAYS, pod["restartPolicy"])
