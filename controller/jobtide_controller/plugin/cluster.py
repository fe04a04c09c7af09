"""The pools of a cluster, by whatever kubeconfig says, and what to do where they can't be had."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from jobtide_controller.api.v1alpha1 import GROUP, PLURAL, JobWorkerPool
from jobtide_controller.kube.api.client import IN_CLUSTER, POOLS, Api, ApiError

ANSWER_SECONDS = 10.0
DEFAULT_NAMESPACE = "default"
DEFAULT_KUBECONFIG = Path("~/.kube/config")
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class PluginError(Exception):
    """What a person can do something about."""


@dataclass(frozen=True, slots=True)
class Access:
    """As kubectl's own flags; unset is what kubectl would take."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    api: Api
    server: str
    namespace: str

    async def pool(self, name: str) -> JobWorkerPool:
        """Raises PluginError, with the names that there are."""
        try:
            return _parsed(await self.api.get(POOLS.path(self.namespace, name), timeout_seconds=ANSWER_SECONDS))
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND and _is_installed(error):
                raise PluginError(await self._no_such_pool(name)) from error
            raise self._told(error, self.namespace) from error

    async def pools(self, *, everywhere: bool = False) -> list[JobWorkerPool]:
        namespace = None if everywhere else self.namespace
        try:
            found = [item async for page in self.api.list_pages(POOLS.path(namespace)) for item in page["items"]]
        except ApiError as error:
            raise self._told(error, namespace) from error
        return [_parsed(item) for item in found]

    async def _no_such_pool(self, name: str) -> str:
        try:
            names = [pool.metadata.name for pool in await self.pools()]
        except PluginError:  # may get a pool, but not list them
            return f'no pool "{name}" in namespace {self.namespace}'
        known = f"it has {', '.join(names)}" if names else "it has no pools; -n chooses another namespace"
        return f'no pool "{name}" in namespace {self.namespace}: {known}'

    def _told(self, error: ApiError, namespace: str | None) -> PluginError:
        where = "in any namespace" if namespace is None else f"in namespace {namespace}"
        can_i = "--all-namespaces" if namespace is None else f"-n {namespace}"
        match error.code:
            case 0:
                return PluginError(f"no answer from the API server {self.server}: {error}")
            case HTTPStatus.UNAUTHORIZED:
                return PluginError(f"the API server {self.server} does not accept this kubeconfig's credentials")
            case HTTPStatus.FORBIDDEN:
                return PluginError(
                    f"no right to read pools {where}: ask for the role `view` there, and check with "
                    f"kubectl auth can-i list {PLURAL}.{GROUP} {can_i} ({error.message})"
                )
            case HTTPStatus.NOT_FOUND:
                return PluginError(
                    f"this cluster ({self.server}) knows no JobWorkerPool: install Jobtide with its chart, "
                    "or choose another context with --context"
                )
            case _:
                return PluginError(f"the API server {self.server} refused to show pools {where}: {error}")


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Cluster]:
    """Raises PluginError where no kubeconfig says which cluster."""
    configuration = Configuration()
    try:
        namespace = await _load(access, configuration)
    except ConfigException as error:
        raise PluginError(f"no kubeconfig to go by: {error}; set KUBECONFIG or --kubeconfig, and --context") from error
    configuration.retries = None  # with False, and with 0, the library retries without an end
    api = Api(configuration)
    try:
        yield Cluster(api, str(configuration.host), access.namespace or namespace)
    finally:
        await api.close()


async def _load(access: Access, configuration: Configuration) -> str:
    """Fills the configuration; the namespace that goes with it."""
    file = access.kubeconfig or os.environ.get("KUBECONFIG")
    if os.environ.get(IN_CLUSTER) and not file:
        return _load_in_cluster(configuration)
    _check_there(file)
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=file, context=access.context, client_configuration=configuration, persist_config=False
    )
    contexts, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
    chosen = next((context for context in contexts if context["name"] == access.context), current)
    return cast("dict[str, Any]", chosen)["context"].get("namespace") or DEFAULT_NAMESPACE


def _check_there(file: str | None) -> None:
    """The library reads a missing file as an empty one, and complains of what is not in it."""
    paths = [Path(path) for path in (file or str(DEFAULT_KUBECONFIG.expanduser())).split(os.pathsep) if path]
    if not any(path.exists() for path in paths):
        raise ConfigException(f"{' and '.join(map(str, paths))} does not exist")


def _load_in_cluster(configuration: Configuration) -> str:
    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return POD_NAMESPACE.read_text(encoding="utf-8").strip()


def _is_installed(error: ApiError) -> bool:
    """A missing pool is named by the API server; a missing kind is a page that is not there."""
    return PLURAL in error.message


def _parsed(raw: dict[str, Any]) -> JobWorkerPool:
    try:
        return JobWorkerPool.model_validate(raw)
    except ValidationError as error:
        name = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        raise PluginError(f"this release can't read the pool {name}, it is of another one: {error}") from error
