"""Thousands of pools in seconds: copies of one pool, in the form in which the API server stores it.

Made one by one, they would take the API server and the controller, which limits its rate, a quarter of an hour. What
differs between two pools (name, namespace, type, UIDs, the hash of the template) has the same length in all of them, so
bytes can be replaced in what is stored, in JSON and in protobuf.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dev.bench.pools.cluster import Cluster, job_type, namespace_of, pod_name, pool_name
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.kube.inventory.parse import TEMPLATE_HASH, fingerprint, uid_of
from jobtide_controller.render.deployment import (
    MANAGED_BY,
    NAME_LABEL,
    POOL_LABEL,
    WORKER_NAME,
    deployment_template_apply,
)

_POOL_KEY = "/registry/jobtide.dev/jobworkerpools/{namespace}/{name}"
_POD_KEY = "/registry/pods/{namespace}/{name}"
_DEPLOYMENT_KEY = "/registry/deployments/{namespace}/{name}-worker"

Exchange = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Original:
    """A pool whose Deployment and status the controller has written."""

    number: int
    pool: dict[str, Any]
    deployment: dict[str, Any]

    @property
    def template_hash(self) -> str:
        found: str = self.deployment["metadata"]["annotations"][TEMPLATE_HASH]
        return found


def copy_pool(cluster: Cluster, original: int, numbers: Iterable[int]) -> None:
    """Copies a pool with its Deployment and its status."""
    namespace, name = namespace_of(original), pool_name(original)
    source = Original(
        original,
        cluster.get("jobworkerpool", namespace, name),
        cluster.get("deployment", namespace, f"{name}-worker"),
    )
    stored = {key: cluster.etcd.get(key.format(namespace=namespace, name=name)) for key in (_POOL_KEY, _DEPLOYMENT_KEY)}
    cluster.etcd.put(_copies(source, stored, numbers))


def _copies(source: Original, stored: Mapping[str, bytes], numbers: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    for number in numbers:
        exchange = _exchange(source, number)
        for key, value in stored.items():
            yield key.format(namespace=namespace_of(number), name=pool_name(number)), exchanged(value, exchange)


def _exchange(source: Original, number: int) -> Exchange:
    names = {
        pool_name(source.number): pool_name(number),
        namespace_of(source.number): namespace_of(number),
        job_type(source.number): job_type(number),
        uid_of(source.pool): str(uuid.uuid4()),
        uid_of(source.deployment): str(uuid.uuid4()),
    }
    return {**names, source.template_hash: _template_hash(source.pool, names)}


def _template_hash(pool: dict[str, Any], names: Exchange) -> str:
    """The hash of the copy's manifest: with another, the controller would apply it again."""
    text = JobWorkerPool.model_validate(pool).model_dump_json(by_alias=True, exclude_unset=True)
    copied = JobWorkerPool.model_validate_json(exchanged(text.encode(), names))
    return fingerprint(deployment_template_apply(copied))


def first_pod(cluster: Cluster) -> str:
    """Makes a worker pod of the first pool, as a ReplicaSet would; returns its UID."""
    labels = {**MANAGED_BY, NAME_LABEL: WORKER_NAME, POOL_LABEL: pool_name(0)}
    container = {"name": "worker", "image": "acme/jobs:1"}
    cluster.add(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod_name(0), "namespace": namespace_of(0), "labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
    )
    return uid_of(cluster.get("pod", namespace_of(0), pod_name(0)))


def copy_pods(cluster: Cluster, numbers: Iterable[int]) -> Callable[[], None]:
    """Copies the first pod. The returned function writes all copies again, which makes one event for each."""
    namespace = namespace_of(0)
    stored = cluster.etcd.get(_POD_KEY.format(namespace=namespace, name=pod_name(0)))
    uid = uid_of(cluster.get("pod", namespace, pod_name(0)))
    copies = [
        (
            _POD_KEY.format(namespace=namespace, name=pod_name(number)),
            exchanged(stored, {pod_name(0): pod_name(number), uid: str(uuid.uuid4())}),
        )
        for number in numbers
    ]
    cluster.etcd.put(copies)
    return lambda: cluster.etcd.put(copies)


def exchanged(stored: bytes, exchange: Exchange) -> bytes:
    """Replaces each text by one of the same length; raises ValueError if the lengths differ."""
    for old, new in exchange.items():
        if len(old) != len(new):
            raise ValueError(f"{old} and {new} differ in length: stored objects contain lengths in bytes")
        stored = stored.replace(old.encode(), new.encode())
    return stored
