"""Connections that end with their request: a request that timed out must not arrive later.

Closing the socket is not enough. TLS takes up to half a minute to shut down, and the kernel retransmits unacknowledged
data until the network delivers it: a leader's last write could arrive after its successor has taken the lease. So the
socket of a request that timed out is reset, which discards everything that was not sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.connector import AddrInfoType
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s

_running: ContextVar[_Running | None] = ContextVar("running", default=None)


class _Running:
    """One request, and the connection that it was sent through."""

    transport: asyncio.Transport | None = None


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """The request in this block has ended when the block ends: answered, or cut off with a TimeoutError."""
    running = _Running()
    token = _running.set(running)
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, asyncio.CancelledError):
        if running.transport is not None:
            running.transport.abort()
        raise
    finally:
        _running.reset(token)


class RestClient(RESTClientObject):
    """The library's REST client, with such connections."""

    def __init__(self, configuration: Configuration, *, unacknowledged_seconds: float) -> None:
        super().__init__(configuration)
        self._unacknowledged_seconds = unacknowledged_seconds

    def _create_connector(self) -> aiohttp.TCPConnector:
        return _Connector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=self._new_socket)

    def _new_socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # the kernel's own limit, in case the loop is too busy for its timers
            milliseconds = int(1000 * self._unacknowledged_seconds)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return made


class _Connector(aiohttp.TCPConnector):
    async def connect(self, *arguments: Any, **more: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*arguments, **more)
        if (running := _running.get()) is not None:
            running.transport = connection.transport
        return connection
