"""/healthz, /readyz and /metrics: whether the loops run, not whether databases and API server are reachable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

# Longer than any loop pauses or waits for a server that hangs. A restart only helps against a stuck loop.
STUCK_SECONDS = 60.0


ANY_ADDRESS = None
LOOPBACK = "127.0.0.1"


class Health:
    """`beats` says by name when each loop last ran, by the monotonic clock in seconds."""

    def __init__(
        self,
        beats: Callable[[], Mapping[str, float]],
        is_filled: Callable[[], bool],
        registry: CollectorRegistry,
        *,
        monotonic: Callable[[], float],
        documents: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    ) -> None:
        """`documents`: more paths, each with what makes its JSON value."""
        self._documents = documents
        self._beats = beats
        self._is_filled = is_filled
        self._registry = registry
        self._monotonic = monotonic

    async def serve(self, port: int, host: str | None = ANY_ADDRESS) -> tuple[web.AppRunner, int]:
        """Listens until `cleanup()` of the returned runner; returns it with the port (0 given: any free one).

        Raises OSError if the port is taken.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        for path, document in self._documents.items():
            app.router.add_get(path, partial(self._json, document))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        # One address family, so that port 0 is one port.
        site = web.TCPSite(runner, host=host if port else LOOPBACK, port=port)
        await site.start()
        return runner, runner.addresses[0][1]

    async def _healthz(self, _: web.Request) -> web.Response:
        now = self._monotonic()
        ages = {name: now - beat for name, beat in self._beats().items()}
        stuck = {name: age for name, age in ages.items() if age > STUCK_SECONDS}
        if stuck:
            words = ", ".join(f"{name} for {age:.0f} s" for name, age in sorted(stuck.items()))
            return web.Response(status=500, text=f"stuck: {words}\n")
        return web.Response(text="".join(f"{name} ran {age:.1f} s ago\n" for name, age in sorted(ages.items())))

    async def _readyz(self, _: web.Request) -> web.Response:
        """A follower is ready too: it knows the cluster and could take over."""
        if self._is_filled():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the first lists of pools, Deployments and pods are not read yet\n")

    @staticmethod
    async def _json(document: Callable[[], Any], _: web.Request) -> web.Response:
        return web.json_response(document())

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
