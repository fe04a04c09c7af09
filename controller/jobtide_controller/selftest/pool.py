"""The test's pool on the API server. Its name is that of the release's test, so a killed run's is found."""

from __future__ import annotations

from typing import Any

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.kube.api.client import POOLS, Api, ApiError, Json
from jobtide_controller.selftest.until import until


class PoolOfOthersError(Exception):
    """Another pool has the name of the test's."""


class TestedPool:
    """Created by this run, and deleted by it: a pool that another run has made since is left alone."""

    def __init__(self, api: Api, manifest: Json) -> None:
        self._api = api
        self._manifest = manifest
        self._namespace: str = manifest["metadata"]["namespace"]
        self._path = POOLS.path(self._namespace, manifest["metadata"]["name"])
        self._uid = ""

    def __str__(self) -> str:
        return f"{self._namespace}/{self._manifest['metadata']['name']}"

    async def create(self) -> None:
        """Deletes that of a killed run first; its type tells it from a user's. Raises ApiError, PoolOfOthersError."""
        left = await self._get()
        if left is not None:
            if left["spec"]["types"] != self._manifest["spec"]["types"]:
                raise PoolOfOthersError(
                    f"there is a pool {self} that is not of this test, and the test's has that name: "
                    "make it again under another one"
                )
            await self._delete(left["metadata"]["uid"])
        made = await self._api.request("POST", POOLS.path(self._namespace), body=self._manifest)
        self._uid = made["metadata"]["uid"]

    async def read(self) -> JobWorkerPool | None:
        """The pool; None if this run has none. Raises ApiError."""
        found = await self._get() if self._uid else None
        return JobWorkerPool.model_validate(found) if found and found["metadata"]["uid"] == self._uid else None

    async def delete(self) -> None:
        """Returns when it is gone, after its Deployment and pods. Raises ApiError."""
        if self._uid:
            await self._delete(self._uid)

    async def _delete(self, uid: str) -> None:
        # Foreground: a new pool of this name must not find the old one's Deployment.
        options: dict[str, Any] = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            await self._api.request("DELETE", self._path, body=options)
        except ApiError as error:
            if not error.not_found and not error.conflict:  # conflict: it has another uid
                raise

        async def is_gone() -> bool:
            found = await self._get()
            return found is None or found["metadata"]["uid"] != uid

        await until(is_gone)

    async def _get(self) -> Json | None:
        try:
            return await self._api.get(self._path)
        except ApiError as error:
            if error.not_found:
                return None
            raise
