"""The pools of `jobtide dev`: JobWorkerPool objects from a file, or one for all types of the application."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from jobtide.errors import LoadError
from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.refusals import refusals
from jobtide_controller.api.v1alpha1 import API_VERSION, KIND, JobWorkerPool
from jobtide_controller.loop.pools import PoolEntry, Pools

NAMESPACE = "default"
NAME = "dev"
TYPES_OF_A_POOL = 64  # at most, as the resource has it
_TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "none"}]}}


class PoolsError(LoadError):
    """The file can't be used; the message names file, object, field and value."""


def of_file(path: Path) -> list[JobWorkerPool]:
    """The JobWorkerPools of a YAML file; objects of other kinds are left out. Raises PoolsError."""
    pools: dict[PoolRef, JobWorkerPool] = {}
    for document in _documents(path):
        if document.get("kind") != KIND:
            continue
        pool = _checked(path, document)
        ref = PoolRef(pool.metadata.namespace, pool.metadata.name)
        if ref in pools:
            raise PoolsError(f"{path}: there are two {KIND}s named {ref}: rename one")
        pools[ref] = pool
    if not pools:
        raise PoolsError(f"{path} has no {KIND}: add one with apiVersion {API_VERSION}, or leave out -f")
    databases = {pool.spec.database for pool in pools.values()}
    if len(databases) > 1:
        raise PoolsError(
            f"{path}: its pools name the databases {', '.join(sorted(databases))}, and jobtide dev works on one: "
            "run it once for each, in directories of their own"
        )
    return list(pools.values())


def of_types(types: Iterable[str]) -> list[JobWorkerPool]:
    """One pool for all these types; more only where a pool may not have as many. Raises PoolsError."""
    listed = list(types)
    parts = [listed[first : first + TYPES_OF_A_POOL] for first in range(0, len(listed), TYPES_OF_A_POOL)]
    return [_of_part(NAME if number == 1 else f"{NAME}-{number}", part) for number, part in enumerate(parts, 1)]


def follow(pools: Pools, wanted: Iterable[JobWorkerPool]) -> None:
    """Makes the index what `wanted` has. A pool that stays keeps its status; one that is new or changed is marked."""
    entries = {str(PoolRef(pool.metadata.namespace, pool.metadata.name)): pool for pool in wanted}
    for entry in [entry for entry in pools if entry.uid not in entries]:
        pools.drop(entry.uid)
    for uid, pool in entries.items():
        known = pools.get(uid)
        if known is not None and known.pool.spec == pool.spec:
            continue
        metadata = pool.metadata.model_copy(
            update={"uid": uid, "generation": 1 if known is None else known.generation + 1}
        )
        status = None if known is None else known.status
        ref = PoolRef(metadata.namespace, metadata.name)
        entry = PoolEntry(uid, ref, pool.model_copy(update={"metadata": metadata}), metadata.generation, status)
        pools.put(entry)


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file, also those inside a List."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PoolsError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PoolsError(f"{path} is not text in UTF-8") from None
    except yaml.YAMLError as error:
        raise PoolsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise PoolsError(f"{path}: document {number} is no Kubernetes object, but {type(document).__name__}")
        yield from document.get("items") or () if document.get("kind") == "List" else (document,)


def _checked(path: Path, document: Mapping[str, Any]) -> JobWorkerPool:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise PoolsError(f"{path}: a {KIND} has no metadata.name: give it one")
    if document.get("apiVersion") != API_VERSION:
        raise PoolsError(f'{path}: {KIND} "{name}": apiVersion is {document.get("apiVersion")!r}: write {API_VERSION}')
    namespaced = {**document, "metadata": {**metadata, "namespace": metadata.get("namespace") or NAMESPACE}}
    found = refusals(namespaced)
    if found:
        raise PoolsError(f'{path}: {KIND} "{name}" is invalid: {"; ".join(found)}')
    return JobWorkerPool.model_validate({**namespaced, "status": None})


def _of_part(name: str, types: list[str]) -> JobWorkerPool:
    document = {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"types": types, "template": _TEMPLATE},
    }
    found = refusals(document)
    if found:
        raise PoolsError(f"no pool can be made for the types of the application: {'; '.join(found)}")
    return JobWorkerPool.model_validate(document)
