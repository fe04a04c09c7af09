"""Server-sent events: a viewer gets the newest documents, a slow one skips some; equal rights share the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator

from aiohttp import web

from jobtide import __version__
from jobtide_controller.page.access import NoAnswerError
from jobtide_controller.page.feed import Feed, Message, Published
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights, User
from jobtide_controller.page.viewer import Viewers

VIEWERS_MAX = 500
VIEWERS_OF_ONE = 250  # user: 200 open pages of one must be possible
QUIET_SECONDS = 15.0  # then a sign of life, so that proxies keep the connection
WRITE_SECONDS = 20.0  # a viewer that takes no bytes for this long is dropped

Messages = Callable[[Published, Rights], list[Message]]
"""The newest messages for a viewer of these rights, always as many."""


class Events:
    """The handler of api/events."""

    def __init__(self, viewers: Viewers, feed: Feed, messages: Callable[[web.Request, User], Messages]) -> None:
        """`messages` reads from a user's request which events are wanted."""
        self._viewers = viewers
        self._feed = feed
        self._messages = messages
        self._of_users: Counter[str] = Counter()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Streams until the viewer leaves, the session ends, or another controller leads."""
        session = self._viewers.of(request)
        who = session.user.name
        if self._feed.viewers >= VIEWERS_MAX or self._of_users[who] >= VIEWERS_OF_ONE:
            raise problem(503, f"{self._feed.viewers} pages are open already", "close some, and load the page again")
        messages = self._messages(request, session.user)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with self._feed.viewer(), self._counted(who):
            published = await self._feed.latest()
            try:
                await answer.prepare(request)
                await self._stream(request, answer, published, messages)
            except (TimeoutError, ConnectionError):  # the viewer is gone, or takes no more bytes
                if request.transport is not None:
                    request.transport.abort()
        return answer

    @contextlib.contextmanager
    def _counted(self, who: str) -> Iterator[None]:
        self._of_users[who] += 1
        try:
            yield
        finally:
            self._of_users[who] -= 1
            self._of_users += Counter()  # without those at zero

    async def _stream(
        self, request: web.Request, answer: web.StreamResponse, published: Published, messages: Messages
    ) -> None:
        """No refusal may be raised here: the answer has begun."""
        await _write(answer, _hello(published))
        sent: list[int] = []
        while published.snapshot.leads:
            session = self._viewers.session(request)
            if session is None:
                return
            with contextlib.suppress(NoAnswerError):  # nothing is sent until the rights are known again
                rights = await self._viewers.access.rights(session.user, published.namespaces)
                newest = messages(published, rights)
                before = [*sent, *[None] * len(newest)]
                changed = [new.data for new, old in zip(newest, before, strict=False) if new.number != old]
                if data := b"".join(changed):
                    await _write(answer, data)
                sent = [message.number for message in newest]
            published = await self._next(answer, published)
        await _write(answer, _hello(published))

    async def _next(self, answer: web.StreamResponse, published: Published) -> Published:
        while (newest := await self._feed.after(published.version, QUIET_SECONDS)) is None:
            await _write(answer, b": quiet\n\n")
        return newest


async def _write(answer: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await answer.write(data)


def _hello(published: Published) -> bytes:
    snapshot = published.snapshot
    document = {
        "version": __version__,
        "now": snapshot.taken_at,
        "leader": snapshot.leads,
        "leader_name": snapshot.leader,
    }
    return f"event: hello\ndata: {json.dumps(document)}\n\n".encode()
