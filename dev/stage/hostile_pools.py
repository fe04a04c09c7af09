"""Pools that an API server may accept and no reasonable user writes: its whole grammar, in every field.

Depth, size, null in every place, every kind of scalar, every kind of character. Each pool is one request body as text,
because some are nested more deeply than Python's JSON writes. The same seed gives the same pools.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

Json = Any

TEXTS: Final = (
    "", " ", "x", "null", "a$$b", "$(JOBTIDE_POOL)", "\U0001f600", "a\0b", "\x1b[31m", "\x7f", "\x85", "\u2028",
    "\u202e", "\ufeff", "\uffff", "\\ud83d", '"', "'", "%s", "{0}", "--5", "9" * 5_000, "x" * 300,
    "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "Inf",
)  # fmt: skip
NUMBERS: Final = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 0.1, 1e300, -1e-300)
LEVELS: Final = (2, 60, 70, 255, 900, 1_100, 4_000, 9_000)
ITEMS: Final = (1, 1_000, 60_000, 400_000)

_WORKER = ("spec", "template", "spec", "containers", 0)

# Where a value is put. Fields that the template's rules read are as likely as those that only Kubernetes knows.
PLACES: Final[tuple[tuple[str | int, ...], ...]] = (
    *(
        ("spec", name)
        for name in ("types", "database", "maxWaitSeconds", "jobsPerWorker", "minReplicas", "maxReplicas")
    ),
    *(("spec", name) for name in ("replicas", "concurrency", "tenants", "scaleDown", "drainSeconds", "retry")),
    *(("spec", name) for name in ("databaseSecret", "paused", "pausedUntil", "onAllFailing", "template", "x")),
    ("spec", "types", 0),
    *(("spec", "tenants", name) for name in ("maxConcurrent", "overrides", "limits")),
    *(("spec", "template", name) for name in ("metadata", "spec", "x")),
    *(("spec", "template", "metadata", name) for name in ("labels", "annotations", "name", "x")),
    ("spec", "template", "metadata", "annotations", "a"),
    *(("spec", "template", "spec", name) for name in ("containers", "initContainers", "volumes", "securityContext")),
    *(("spec", "template", "spec", name) for name in ("terminationGracePeriodSeconds", "nodeSelector", "hostPID", "x")),
    *((*_WORKER, name) for name in ("env", "envFrom", "ports", "volumeMounts", "securityContext", "command", "args")),
    *((*_WORKER, name) for name in ("image", "name", "livenessProbe", "resources", "lifecycle", "x")),
    *((*_WORKER, "env", 0, name) for name in ("name", "value", "valueFrom")),
    *((*_WORKER, name, 0) for name in ("env", "ports", "volumeMounts")),
    ("metadata", "annotations", "a"),
    ("metadata", "labels", "a"),
)


def hostile_pools(
    count: int, *, seed: int, database: str = "main", most_items: int = max(ITEMS), names: int | None = None
) -> Iterator[tuple[str, str]]:
    """Names and request bodies of so many pools. With `names`, so many names come again and again.

    A list has `most_items` at most: an API server takes half a gigabyte and half a minute for 400,000 of them.
    """
    draw = random.Random(seed)
    for number in range(count):
        name = f"hostile-{number if names is None else number % names:04}"
        pool = _plain(name, database)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            _put(pool, draw.choice(PLACES), _value(draw, most_items))
        yield name, _text(pool)


def _plain(name: str, database: str) -> Json:
    worker = {
        "name": "worker",
        "image": "acme/jobs:1",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 9000}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    pod = {"containers": [worker], "volumes": [{"name": "v", "emptyDir": {}}]}
    template = {"metadata": {"annotations": {"a": "b"}}, "spec": pod}
    return {
        "apiVersion": "jobtide.dev/v1alpha1",
        "kind": "JobWorkerPool",
        "metadata": {"name": name, "annotations": {}, "labels": {}},
        "spec": {"types": [name], "database": database, "tenants": {}, "template": template},
    }


def _put(pool: Json, place: tuple[str | int, ...], value: Json) -> None:
    """Nothing happens if an earlier value has removed the place."""
    at = pool
    for step in place[:-1]:
        try:
            at = at[step]
        except (KeyError, IndexError, TypeError):
            return
    match at, place[-1]:
        case dict(), last:
            at[last] = copy.deepcopy(value)
        case [_, *_], 0:
            at[0] = copy.deepcopy(value)
        case _:
            pass


def _value(draw: random.Random, most_items: int) -> Json:
    kinds: tuple[Callable[[], Json], ...] = (
        lambda: None,
        lambda: draw.choice((True, False)),
        lambda: draw.choice(NUMBERS),
        lambda: draw.choice(TEXTS),
        lambda: draw.choice(TEXTS),
        lambda: draw.choice(([], {}, [None], {"a": None}, [[]], [{}], [draw.choice(TEXTS)], {draw.choice(TEXTS): 1})),
        lambda: _Text(_nested(draw.choice(LEVELS), draw.choice(("{", "[")))),
        lambda: _Text(_wide(min(draw.choice(ITEMS), most_items), draw.choice(("{}", "[]", '"x"', "null", '{"a":{}}')))),
    )
    return draw.choice(kinds)()


class _Text(str):
    """JSON that is put into the body as it is."""

    __slots__ = ()


def _nested(levels: int, bracket: str) -> str:
    opening, closing = ('{"a":', "}") if bracket == "{" else ("[", "]")
    return opening * levels + "1" + closing * levels


def _wide(items: int, item: str) -> str:
    return f"[{','.join([item] * min(items, 1_300_000 // (len(item) + 1)))}]"


def _text(value: Json) -> str:
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)
