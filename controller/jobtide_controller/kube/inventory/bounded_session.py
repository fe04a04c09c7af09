"""kopf's connections to the API server, with answers in bounded memory and at any depth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kopf

from jobtide_controller.kube.api.bounded_json import bounded_event, parse


def session_of(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """The session that kopf would make of this information, but for its answers. Called in kopf's event loop."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        response_class=_Answer,
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=session, expiration=info.expiration)


class _Answer(aiohttp.ClientResponse):
    """A list, of which kopf takes `json()`; or a watch, of which it takes lines from `content`."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.content = _Lines(self.content)  # type: ignore[assignment]
        return self

    async def json(self, **_: Any) -> Any:
        return parse(await self.read())


class _Lines:
    """A stream of events. As chunks it gives whole lines, each of bounded size and depth."""

    def __init__(self, reader: aiohttp.StreamReader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        async for data in self._reader.iter_chunked(size):
            *ends, rest = data.split(b"\n")
            for end in ends:
                line = b"".join((*parts, end))
                parts = []
                yield bounded_event(line) + b"\n"
            parts.append(rest)
        if any(parts):
            yield bounded_event(b"".join(parts))
