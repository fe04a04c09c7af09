"""Full lists: they fill the inventory before the first decision, and repair missed events afterwards.

kopf does not compare a new list with what it knew: an object that was deleted while the watch was broken would stay in
the inventory. Each list is consistent at its resourceVersion; objects in the inventory that are newer are left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from jobtide.backoff import backoff_seconds
from jobtide_controller.kube.api.client import DEPLOYMENTS, PAGE, PODS, POOLS, Api, ApiError, Json, Resource
from jobtide_controller.kube.inventory.parse import ref_of, uid_of
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.loop.cooperative import yielding_every
from jobtide_controller.render.deployment import MANAGED_BY, NAME_LABEL, WORKER_NAME
from jobtide_controller.telemetry.events import Emit, Failed, Relisted, RelistFailed

WORKER_SELECTOR = f"{NAME_LABEL}={WORKER_NAME}," + ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
AFTER_START_SECONDS = 15.0
FIRST_RETRY_SECONDS = (0.5, 5.0)

# Between two pauses of the event loop, in which probes are answered and the lease is renewed.
OBJECTS_AT_ONCE = 20

POOLS_AT_ONCE = 20  # in a page: a pool may have 1.5 MB


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is listed, and the inventory's methods for it."""

    resource: Resource
    selector: str | None
    upsert: Callable[[Json], bool]
    forget_absent: Callable[[AbstractSet[str], int], int]
    page: int = PAGE


class Relister:
    """Pools come first: a Deployment or pod has a meaning only with its pool."""

    def __init__(self, api: Api, inventory: Inventory, namespaces: tuple[str, ...], emit: Emit) -> None:
        self._api = api
        self._kinds = (
            _Kind(POOLS, None, inventory.upsert_pool, inventory.forget_absent_pools, POOLS_AT_ONCE),
            _Kind(DEPLOYMENTS, WORKER_SELECTOR, inventory.upsert_deployment, inventory.forget_absent_deployments),
            _Kind(PODS, WORKER_SELECTOR, inventory.upsert_pod, inventory.forget_absent_pods),
        )
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._emit = emit
        self._asked = asyncio.Event()
        self._trouble: str | None = None  # reported once, however long it lasts

    async def fill(self) -> None:
        """Reads the first lists, until they succeed: nothing may be decided before."""
        base_seconds, max_seconds = FIRST_RETRY_SECONDS
        failures = 0
        while not await self._pass(is_first=True):
            failures += 1
            await asyncio.sleep(backoff_seconds(failures, base_seconds=base_seconds, max_seconds=max_seconds))

    async def run(self, resync_seconds: float) -> None:
        """Compares repeatedly. The first time comes soon, because an object that was deleted between our first
        lists and the start of the watch has no event. After a failed list the next one comes soon, too.
        """
        self._asked.set()
        while True:
            pause = resync_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads lists
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), pause)
                self._asked.clear()
                await asyncio.sleep(min(AFTER_START_SECONDS, pause))
            if not await self.run_once():
                self._asked.set()

    def soon(self) -> None:
        """Compares soon: the watch has missed events."""
        self._asked.set()

    async def run_once(self) -> bool:
        """Compares everything once; True if all lists were read."""
        return await self._pass(is_first=False)

    async def pod_uids(self) -> set[str]:
        """UIDs of all pods in our namespaces, workers or not. Raises ApiError."""
        found: set[str] = set()
        for namespace in self._namespaces:
            async for page in self._api.list_pages(PODS.path(namespace), accept=METADATA_ONLY):
                found |= {uid_of(item) for item in page["items"]}
        return found

    async def _pass(self, *, is_first: bool) -> bool:
        for kind in self._kinds:
            started = time.monotonic()
            try:
                count, repaired = await self._compare(kind)
            except ApiError as error:
                if str(error) != self._trouble:
                    self._emit(RelistFailed(kind.resource.plural, str(error)))
                self._trouble = str(error)
                return False
            seconds = time.monotonic() - started
            self._emit(Relisted(kind.resource.plural, count, 0 if is_first else repaired, seconds))
        self._trouble = None
        return True

    async def _compare(self, kind: _Kind) -> tuple[int, int]:
        """Compares all namespaces; returns the number of objects, and how many of them were repaired.

        Each object is released after its comparison: 10,000 of them at once are half a gigabyte. The oldest list's
        version decides what is absent, so that nothing newer is dropped.
        """
        present: set[str] = set()
        versions: list[int] = []
        repaired = 0
        for namespace in self._namespaces:
            first = True
            path = kind.resource.path(namespace)
            async for page in self._api.list_pages(path, label_selector=kind.selector, limit=kind.page):
                if first:
                    versions.append(int(page["metadata"]["resourceVersion"]))
                    first = False
                async for raw in yielding_every(OBJECTS_AT_ONCE, page["items"]):
                    present.add(uid_of(raw))
                    repaired += self._upsert(kind, raw)
        return len(present), repaired + kind.forget_absent(present, min(versions))

    def _upsert(self, kind: _Kind, raw: Json) -> bool:
        """True if the inventory changed. An object that can't be understood stops no other one."""
        try:
            return kind.upsert(raw)
        except Exception:  # noqa: BLE001 - as above
            self._emit(Failed(f"a {kind.resource.kind} of the list, {ref_of(raw)}", traceback.format_exc()))
            return False
