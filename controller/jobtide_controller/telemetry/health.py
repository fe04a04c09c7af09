"""/healthz, /readyz and /metrics: whether the loops run, not whether databases and API server are reachable.

They are answered in threads, so scrapes delay no decision, and a busy event loop fails no probe.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from jobtide.telemetry.status_server import Answer, Answers, Cached, StatusServer, bind
from jobtide_controller.telemetry.metrics import Metrics

Value = TypeVar("Value")

# Longer than any loop pauses or waits for a server that hangs. A restart only helps against a stuck loop.
STUCK_SECONDS = 60.0
SNAPSHOT_SECONDS = 5.0  # how long an answer waits for the event loop


ANY_ADDRESS = ""
LOOPBACK = "127.0.0.1"


class Health:
    """`beats` says by name when each loop last ran, by the monotonic clock in seconds. Threads call it."""

    def __init__(
        self,
        beats: Callable[[], Mapping[str, float]],
        is_filled: Callable[[], bool],
        metrics: Metrics,
        *,
        monotonic: Callable[[], float],
        documents: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    ) -> None:
        """`documents`: more paths, each with what makes its JSON value, in the event loop."""
        self._documents = documents
        self._beats = beats
        self._is_filled = is_filled
        self._metrics = metrics
        self._monotonic = monotonic

    async def serve(self, port: int, host: str = ANY_ADDRESS) -> tuple[StatusServer, int]:
        """Listens until `close()` of the returned server; returns it with the port (0 given: any free one).

        Raises OSError if the port is taken.
        """
        listener = bind(port, host if port else LOOPBACK)
        server = StatusServer(listener, self._answers(asyncio.get_running_loop()))
        server.start()
        return server, listener.getsockname()[1]

    def _answers(self, loop: asyncio.AbstractEventLoop) -> Answers:
        cached = Cached(partial(self._render, loop))
        return {
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": lambda: Answer(200, cached(), CONTENT_TYPE_LATEST),
            **{path: partial(_document, loop, document) for path, document in self._documents.items()},
        }

    def healthz(self) -> Answer:
        """Whether every loop ran lately."""
        now = self._monotonic()
        ages = {name: now - beat for name, beat in self._beats().items()}
        stuck = {name: age for name, age in ages.items() if age > STUCK_SECONDS}
        if stuck:
            words = ", ".join(f"{name} for {age:.0f} s" for name, age in sorted(stuck.items()))
            return Answer(500, f"stuck: {words}\n")
        return Answer(200, "".join(f"{name} ran {age:.1f} s ago\n" for name, age in sorted(ages.items())))

    def readyz(self) -> Answer:
        """A follower is ready too: it knows the cluster and could take over."""
        if self._is_filled():
            return Answer(200, "ok\n")
        return Answer(503, "the first lists of pools, Deployments and pods are not read yet\n")

    def _render(self, loop: asyncio.AbstractEventLoop) -> str:
        _in_loop(loop, self._metrics.take_gauges)
        return self._metrics.text()


def _document(loop: asyncio.AbstractEventLoop, document: Callable[[], Any]) -> Answer:
    return Answer(200, json.dumps(_in_loop(loop, document)), "application/json; charset=utf-8")


def _in_loop(loop: asyncio.AbstractEventLoop, read: Callable[[], Value]) -> Value:
    """What `read()` returns in the event loop, between two of its steps. Raises TimeoutError."""

    async def call() -> Value:
        return read()

    return asyncio.run_coroutine_threadsafe(call(), loop).result(SNAPSHOT_SECONDS)
