"""What a pool may not hold although the CRD's schema lets it in: no schema checks the template, or reads a calendar.

Each fault names the field, what is wrong with its value, and what to do. A pool with a fault is kept by name only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api import rules
from jobtide_controller.api.schedules import faults_of_schedules

Json = Any

# As JSON. Parsed, the worst content takes thirty times as much memory, and every pod's start reads it.
TEMPLATE_BYTES = 131_072
# The deepest field of a PodTemplateSpec is about 15 levels down.
TEMPLATE_DEPTH = 64

# The only field of a template that was too large to be parsed: its bytes, its levels. A user's own field of this name
# is beside others: without them a template holds nothing.
CUT = "jobtide.dev/cut"

_SHOWN = 60  # characters of a value in a message

# Lists of objects that have a name, and that rendering reads, below the pod's spec and below each container.
_POD_LISTS = ("initContainers", "volumes")
_WORKER_LISTS = ("env", "ports", "volumeMounts")


def faults(spec: Mapping[str, Json]) -> list[str]:
    """Why a spec that fits the schema can't be used; empty if it can. `spec` is as Kubernetes stores it."""
    template = spec.get("template")
    size, depth = _cut_of(template) or (0, levels_of(template))
    if depth > TEMPLATE_DEPTH:
        return [_too_deep(depth)]
    size = size or len(json.dumps(template, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    if size > TEMPLATE_BYTES:
        return [_too_large(size)]
    return [
        *_faults_of_types(spec.get("types")),
        *faults_of_schedules(spec.get("schedules")),
        *_faults_of_template(template),
    ]


def misfits(error: ValidationError) -> list[str]:
    """Why an object is no pool: fields that another release of the CRD, or its notion of a time, let in."""
    return [_misfit(one["loc"], one["msg"], one["input"]) for one in error.errors(include_url=False)]


def levels_of(value: Json) -> int:
    """Levels of objects and lists, without recursion. It stops counting beyond twice the limit."""
    depth, level = 0, [value]
    while depth <= 2 * TEMPLATE_DEPTH:
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return depth
        depth += 1
    return depth


def _too_deep(depth: int) -> str:
    return (
        f"template is nested {_counted(depth)} levels deep; at most {TEMPLATE_DEPTH} are allowed: "
        "remove the field that is nested so deeply, no field of a pod template needs as many"
    )


def _too_large(size: int) -> str:
    return (
        f"template is {size:,} bytes of JSON; at most {TEMPLATE_BYTES:,} are allowed: "
        "move long values into a ConfigMap, and mount it or read it with envFrom"
    )


def _misfit(place: tuple[str | int, ...], words: str, value: Json) -> str:
    if place == ("spec", "pausedUntil"):
        return f"{rules.PAUSED_UNTIL_RANGE['message']}; it is {_shown(value)}"
    is_scalar = value is None or isinstance(value, str | int | float)
    return f"{'.'.join(map(str, place))}{f' ({_shown(value)})' if is_scalar else ''}: {words}"


def _faults_of_types(types: Json) -> Iterator[str]:
    for type_ in types if isinstance(types, list | tuple) else ():
        if isinstance(type_, str) and "\0" in type_:
            yield f"types ({_shown(type_)}) has the character U+0000, which PostgreSQL's text can't hold: remove it"


def _faults_of_template(template: Json) -> Iterator[str]:
    """The shape of what is read to render the pods; Kubernetes checks the rest when the Deployment is applied."""
    metadata, pod = _object(template, "metadata"), _object(template, "spec")
    yield from _not_object(template, "template")
    yield from _not_object(_of(template, "metadata"), "template.metadata")
    yield from _not_object(_of(metadata, "labels"), "template.metadata.labels")
    yield from _not_object(_of(template, "spec"), "template.spec")
    grace = pod.get("terminationGracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        yield _wrong("template.spec.terminationGracePeriodSeconds", grace, "a whole number of seconds")
    yield from _not_object(pod.get("securityContext"), "template.spec.securityContext")
    for name in _POD_LISTS:
        yield from _not_named(pod.get(name), f"template.spec.{name}")
    containers = pod.get("containers")
    if containers is None:
        yield _wrong("template.spec.containers", None, "a list with the container named worker")
    yield from _not_named(containers, "template.spec.containers")
    for position, container in enumerate(containers if isinstance(containers, list) else ()):
        if isinstance(container, dict):
            yield from _faults_of_container(container, f"template.spec.containers[{position}]")


def _faults_of_container(container: Mapping[str, Json], path: str) -> Iterator[str]:
    if container.get("name") != "worker":
        yield from _not_named(container.get("volumeMounts"), f"{path}.volumeMounts")
        return
    yield from _not_object(container.get("securityContext"), f"{path}.securityContext")
    for name in _WORKER_LISTS:
        yield from _not_named(container.get(name), f"{path}.{name}", needs_name=name != "ports")
    for position, entry in enumerate(_list(container, "env")):
        value = _of(entry, "value")
        if value is not None and not isinstance(value, str):
            quoted = json.dumps(json.dumps(value))[:_SHOWN]
            yield f"{_wrong(f'{path}.env[{position}].value', value, 'text')}, for example {quoted}"
    for position, mount in enumerate(_list(container, "volumeMounts")):
        if isinstance(mount, dict) and not isinstance(mount.get("mountPath"), str):
            yield _wrong(f"{path}.volumeMounts[{position}].mountPath", mount.get("mountPath"), "a path as text")


def _not_named(value: Json, path: str, *, needs_name: bool = True) -> Iterator[str]:
    """Nothing for a list of objects with names, or for null, which Kubernetes reads as an empty list."""
    if value is None:
        return
    if not isinstance(value, list):
        yield _wrong(path, value, "a list")
        return
    for position, item in enumerate(value):
        if not isinstance(item, dict):
            yield _wrong(f"{path}[{position}]", item, "an object")
        elif needs_name and not isinstance(item.get("name"), str):
            yield _wrong(f"{path}[{position}].name", item.get("name"), "a name as text")


def _not_object(value: Json, path: str) -> Iterator[str]:
    if value is not None and not isinstance(value, dict):
        yield _wrong(path, value, "an object")


def _wrong(path: str, value: Json, wanted: str) -> str:
    return f"{path} is {_shown(value)}: write {wanted}"


def _shown(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _counted(depth: int) -> str:
    return str(depth) if depth <= 2 * TEMPLATE_DEPTH else f"more than {2 * TEMPLATE_DEPTH}"


def _cut_of(template: Json) -> tuple[int, int] | None:
    """Bytes and levels of a template that is not here any more."""
    if not isinstance(template, dict) or template.keys() != {CUT}:
        return None
    match template[CUT]:
        case [int(size), int(depth)]:
            return size, depth
        case _:
            return None


def _of(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _object(value: Json, name: str) -> dict[str, Json]:
    inner = _of(value, name)
    return inner if isinstance(inner, dict) else {}


def _list(value: Json, name: str) -> list[Json]:
    inner = _of(value, name)
    return inner if isinstance(inner, list) else []
