"""Full lists: they fill the inventory before the first decision, and repair missed events afterwards.

kopf never compares a new list with what it knew: an object that was deleted while its watch was broken would stay for
ever. Each list is consistent at its resourceVersion; what is newer than that in the inventory is left alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from jobtide_controller.decide.manifests import MANAGED_BY, NAME_LABEL, WORKER_NAME
from jobtide_controller.instrument import Emit, Relisted, RelistFailed
from jobtide_controller.kube.client import DEPLOYMENTS, PODS, POOLS, Api, ApiError, Json, Resource
from jobtide_controller.kube.inventory import Inventory
from jobtide_controller.kube.parse import uid_of

WORKER_SELECTOR = f"{NAME_LABEL}={WORKER_NAME}," + ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
AFTER_START_SECONDS = 15.0
FIRST_RETRY_SECONDS = (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class Found:
    items: list[Json]
    version: int


class Relister:
    """Pools first: a Deployment or pod means something only beside its pool."""

    def __init__(self, api: Api, inventory: Inventory, namespaces: tuple[str, ...], emit: Emit) -> None:
        self._api = api
        self._inventory = inventory
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._emit = emit

    async def fill(self) -> None:
        """The first lists, until they succeed: nothing may be decided before."""
        pause, longest = FIRST_RETRY_SECONDS
        while not await self._pass(is_first=True):
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
            pause = min(longest, 2 * pause)

    async def run(self, resync_seconds: float) -> None:
        """The first time soon: what was deleted between our first lists and the watch's start has no event."""
        pause = min(AFTER_START_SECONDS, resync_seconds)
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads lists
            await self.run_once()
            pause = resync_seconds

    async def run_once(self) -> bool:
        """Compare everything once; whether all lists were read."""
        return await self._pass(is_first=False)

    async def pod_uids(self) -> set[str]:
        """Every pod of the namespaces that we may see, whoever made it. Raises ApiError."""
        found: set[str] = set()
        for namespace in self._namespaces:
            async for page in self._api.list_pages(PODS.path(namespace), accept=METADATA_ONLY):
                found |= {uid_of(item) for item in page["items"]}
        return found

    async def _pass(self, *, is_first: bool) -> bool:
        steps: tuple[tuple[Resource, str | None, Callable[[list[Json], int], int]], ...] = (
            (POOLS, None, self._inventory.relisted_pools),
            (DEPLOYMENTS, WORKER_SELECTOR, self._inventory.relisted_deployments),
            (PODS, WORKER_SELECTOR, self._inventory.relisted_pods),
        )
        for resource, selector, compare in steps:
            started = time.monotonic()
            try:
                found = await self._list(resource, selector)
            except ApiError as error:
                self._emit(RelistFailed(resource.plural, str(error)))
                return False
            repaired = compare(found.items, found.version)
            seconds = time.monotonic() - started
            self._emit(Relisted(resource.plural, len(found.items), 0 if is_first else repaired, seconds))
        return True

    async def _list(self, resource: Resource, selector: str | None) -> Found:
        """All namespaces; the oldest list's version counts, so that nothing newer is dropped."""
        items: list[Json] = []
        versions: list[int] = []
        for namespace in self._namespaces:
            first = True
            async for page in self._api.list_pages(resource.path(namespace), label_selector=selector):
                items += page["items"]
                if first:
                    versions.append(int(page["metadata"]["resourceVersion"]))
                    first = False
        return Found(items, min(versions))
