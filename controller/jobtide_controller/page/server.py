"""The page's server: a thread and an event loop of its own, so that many viewers don't delay the controller's tick."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from aiohttp import web

from jobtide.telemetry.status_server import bind
from jobtide_controller.page import guard, samples
from jobtide_controller.page.access import Access, NoAnswerError, Reviews
from jobtide_controller.page.action_views import ActionViews
from jobtide_controller.page.actions import Action, Actions
from jobtide_controller.page.connections import Connections
from jobtide_controller.page.desk import Desk, OperatorUrls
from jobtide_controller.page.events import Events, Messages
from jobtide_controller.page.feed import Feed, Published
from jobtide_controller.page.files import INDEX, StaticFiles
from jobtide_controller.page.history import History
from jobtide_controller.page.job_views import JobViews
from jobtide_controller.page.rights import User, Verb
from jobtide_controller.page.snapshot import Snapshot
from jobtide_controller.page.viewer import Viewers
from jobtide_controller.page.views import Views
from jobtide_controller.telemetry.events import Acted, Emit

BODY_BYTES = 64 * 1024
ANSWER_SECONDS = 5.0  # that the controller's loop may take for a snapshot or a review
STOP_SECONDS = 1.0

Result = TypeVar("Result")

_log = logging.getLogger("jobtide_controller")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the page is served."""

    port: int  # 0: any free one
    host: str = ""  # empty: all addresses
    path: str = ""  # before all its paths, such as /jobtide, for a proxy that does not remove it
    mode: Literal["cluster", "dev"] = "cluster"


class Page:
    """Serves from `start()` until `close()`. Both are called in the controller's event loop."""

    def __init__(
        self, place: Place, take: Callable[[], Snapshot], reviews: Reviews, urls: OperatorUrls, emit: Emit
    ) -> None:
        """`take`, `reviews` and `emit` run in the controller's event loop."""
        self._place = place
        self._take = take
        self._reviews = reviews
        self._urls = urls
        self._emit = emit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listens, and returns the port. Raises OSError if it is taken."""
        listener = bind(self._place.port, self._place.host)
        port: int = listener.getsockname()[1]
        controller = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._run, args=(listener, port, controller), name="jobtide-page", daemon=True
        )
        self._thread.start()
        return port

    async def close(self) -> None:
        """Ends streams and connections, within STOP_SECONDS."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(stop.set)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _run(self, listener: socket.socket, port: int, controller: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._serve(listener, port, controller))
        except Exception:  # noqa: BLE001 - it is logged with its traceback
            _log.exception("bug: the page has ended, please report it; the controller continues without it")
        finally:
            listener.close()

    async def _serve(self, listener: socket.socket, port: int, controller: asyncio.AbstractEventLoop) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        bridge = _Bridge(controller)

        async def take() -> Snapshot:
            return self._take()

        def report(action: Action) -> None:
            with contextlib.suppress(RuntimeError):  # the controller has ended
                controller.call_soon_threadsafe(self._emit, acted(action))

        history = History()
        desk = Desk(self._urls)
        actions = Actions(desk, report)

        def note(look: Published) -> None:
            samples.note(history, look.snapshot, look.depths)
            if not look.snapshot.leads:
                actions.stop_all()

        feed = Feed(lambda: bridge(take()), note)
        app = application(self._place, port, Parts(feed, history, _Bridged(self._reviews, bridge), desk, actions))
        connections = Connections(app)
        await connections.serve(listener)
        looking = asyncio.create_task(feed.run(), name="feed")
        try:
            await self._stop.wait()
        finally:
            looking.cancel()
            actions.stop_all()
            await connections.close()
            desk.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers stand on. All belong to the page's event loop."""

    feed: Feed
    history: History
    reviews: Reviews
    desk: Desk
    actions: Actions


def acted(action: Action) -> Acted:
    """The event of an action that has ended."""
    wanted = action.wanted
    return Acted(
        action.user.name,
        wanted.database,
        wanted.verb,
        wanted.shown,
        action.done,
        action.refused,
        action.state,
        action.message,
    )


def application(place: Place, port: int, parts: Parts) -> web.Application:
    """All paths of the page. Call it in the page's event loop."""
    feed, desk, reviews = parts.feed, parts.desk, parts.reviews
    viewers = Viewers(Access(reviews, asyncio.get_running_loop().time), feed, mode=place.mode, path=place.path)
    views = Views(viewers, feed, parts.history, desk.databases)
    jobs = JobViews(views, desk)
    changes = ActionViews(viewers, views, parts.actions)

    def messages(request: web.Request, user: User) -> Messages:
        of_views = views.messages(request)
        return lambda published, rights: [changes.message(user, published, rights), *of_views(published, rights)]

    events = Events(viewers, feed, messages)
    files = StaticFiles()
    hosts = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")} if place.mode == "dev" else None

    @web.middleware
    async def checked(request: web.Request, handler: guard.Handler) -> web.StreamResponse:
        if hosts is not None:
            guard.check_host(request, hosts)
        if request.method != "GET":
            guard.check_origin(request)
        return await handler(request)

    async def leader(request: web.Request) -> web.Response:
        """For `kubectl jobtide page`, before any login."""
        del request
        snapshot = (await feed.latest()).snapshot
        return web.json_response({"leader": snapshot.leads, "leader_name": snapshot.leader})

    async def to_slash(request: web.Request) -> web.Response:
        raise web.HTTPPermanentRedirect(f"{request.path}/")

    async def index(request: web.Request) -> web.Response:
        return files.answer(request, INDEX)

    async def file(request: web.Request) -> web.Response:
        return files.answer(request, request.match_info["name"])

    app = web.Application(client_max_size=BODY_BYTES, middlewares=[guard.errors_as_json, checked])
    app.on_response_prepare.append(guard.set_headers)
    path = place.path
    app.add_routes(
        [
            web.get(f"{path}/api/leader", leader, allow_head=False),
            web.post(f"{path}/api/login", viewers.login),
            web.post(f"{path}/api/tickets", viewers.ticket),
            web.post(f"{path}/api/logout", viewers.logout),
            web.get(f"{path}/api/me", viewers.me, allow_head=False),
            web.get(f"{path}/api/overview", views.overview, allow_head=False),
            web.get(f"{path}/api/pools/{{namespace}}/{{name}}", views.pool, allow_head=False),
            web.get(f"{path}/api/tenants", jobs.tenants, allow_head=False),
            web.get(f"{path}/api/tenants/{{database}}/{{tenant}}", jobs.tenant, allow_head=False),
            web.get(f"{path}/api/jobs", jobs.jobs, allow_head=False),
            web.get(f"{path}/api/jobs/{{database}}/{{id}}", jobs.job, allow_head=False),
            web.get(f"{path}/api/actions", changes.listed, allow_head=False),
            web.post(f"{path}/api/actions/preview", changes.preview),
            web.post(f"{path}/api/actions", changes.start),
            web.post(f"{path}/api/actions/{{id}}/stop", changes.stop),
            web.get(f"{path}/api/events", events.__call__, allow_head=False),
            *([web.get(path, to_slash, allow_head=False)] if path else []),
            web.get(f"{path}/", index, allow_head=False),
            web.get(f"{path}/{{name:[^?]+}}", file, allow_head=False),
        ]
    )
    return app


class _Bridge:
    """Runs a coroutine in the controller's event loop, and waits for it in the page's."""

    def __init__(self, controller: asyncio.AbstractEventLoop) -> None:
        self._controller = controller

    async def __call__(self, work: Awaitable[Result]) -> Result:
        """Raises TimeoutError if the controller's loop does not get to it in time."""

        async def run() -> Result:
            return await work

        future = asyncio.run_coroutine_threadsafe(run(), self._controller)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.wrap_future(future)


class _Bridged:
    """Reviews that run in the controller's event loop, whose connections to the API server they use."""

    def __init__(self, reviews: Reviews, bridge: _Bridge) -> None:
        self._reviews = reviews
        self._bridge = bridge

    async def authenticate(self, token: str) -> User | None:
        return await self._answer(self._reviews.authenticate(token))

    async def is_allowed(self, user: User, verb: Verb, namespace: str) -> bool:
        return await self._answer(self._reviews.is_allowed(user, verb, namespace))

    async def _answer(self, work: Awaitable[Result]) -> Result:
        try:
            return await self._bridge(work)
        except TimeoutError:
            raise NoAnswerError(f"no answer within {ANSWER_SECONDS:g} s") from None
