"""Bounds what clients may hold: connections, and how long one may send nothing that is a request."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

from aiohttp import web

from jobtide_controller.page.guard import Handler

CONNECTIONS_MAX = 1000
IDLE_SECONDS = 30.0  # between requests, and until the first one is complete
SWEEP_SECONDS = 5.0
HEADER_BYTES = 16_384  # of a line, and of a field
CLOSE_SECONDS = 0.3

# aiohttp's own: a traceback for each request that is no HTTP, which any client can send. Bugs are logged by the guard.
_silent = logging.getLogger("jobtide_controller.page.http")
_silent.setLevel(logging.CRITICAL)


class Connections:
    """Serves an application on one socket."""

    def __init__(self, app: web.Application) -> None:
        self._idle_since: dict[asyncio.BaseProtocol, float] = {}  # of connections without a request
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_silent,
            auto_decompress=False,  # no browser compresses what it sends
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=CLOSE_SECONDS,
        )
        app.middlewares.insert(0, self._note_request)

    async def serve(self, listener: socket.socket) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=listener, backlog=128)
        self._sweeper = asyncio.create_task(self._sweep(), name="sweep")

    async def close(self) -> None:
        self._sweeper.cancel()
        self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= CONNECTIONS_MAX:
            return _Refused()
        protocol: asyncio.BaseProtocol = server()
        self._idle_since[protocol] = time.monotonic()
        return protocol

    @web.middleware
    async def _note_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        protocol = request.protocol
        self._idle_since.pop(protocol, None)
        try:
            return await handler(request)
        finally:
            self._idle_since[protocol] = time.monotonic()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            limit = time.monotonic() - IDLE_SECONDS - SWEEP_SECONDS
            server = self._runner.server
            present = set() if server is None else set(server.connections)
            self._idle_since = {known: since for known, since in self._idle_since.items() if known in present}
            for protocol in present:
                if self._idle_since.get(protocol, limit) < limit:
                    protocol.force_close()


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
