"""Sends writes while this controller leads, and notes how each was answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from jobtide_controller.kube.api.client import APPLY, MERGE, ApiError, Json
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import NotLeadingError
from jobtide_controller.telemetry.events import Emit, Wrote


class Requests(Protocol):
    """The part of the API client that the writer needs."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json: ...


class Writer:
    """The only way in which the controller changes the cluster, except its lease. Raises ApiError, NotLeadingError.

    It is called by requests of the write queue, one write at a time in each.
    """

    def __init__(self, api: Requests, emit: Emit, *, leading: Callable[[], bool], window: Window) -> None:
        self._api = api
        self._emit = emit
        self._leading = leading
        self._window = window

    async def get(self, path: str) -> Json:
        """Reads the object that a write is decided from."""
        self._check_lease()
        return await self._api.request("GET", path)

    async def apply(self, what: str, path: str, body: Json, *, manager: str, force: bool = True) -> Json:
        """Server-side apply: the fields that this manager owns become as `body` says."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write(
            what, lambda: self._api.request("PATCH", path, query=query, body=body, content_type=APPLY)
        )

    async def merge(self, what: str, path: str, body: Json, *, manager: str) -> Json:
        """JSON merge patch: changes only the fields in `body`."""
        query = {"fieldManager": manager}
        return await self._write(
            what, lambda: self._api.request("PATCH", path, query=query, body=body, content_type=MERGE)
        )

    async def create(self, what: str, path: str, body: Json) -> Json:
        """Adds an object to the collection `path`."""
        return await self._write(what, lambda: self._api.request("POST", path, body=body))

    async def _write(self, what: str, send: Callable[[], Awaitable[Json]]) -> Json:
        self._check_lease()  # last of all: nothing waits between this and sending
        started = time.monotonic()
        try:
            answer = await send()
        except ApiError as error:
            self._window.note(started, error)
            self._emit(Wrote(what, time.monotonic() - started, error.code))
            raise
        self._window.note(started)
        self._emit(Wrote(what, time.monotonic() - started, 200))
        return answer

    def _check_lease(self) -> None:
        if not self._leading():
            raise NotLeadingError
