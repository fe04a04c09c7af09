"""Which viewer sends a request: login, logout, tickets, and the session that every other request needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from jobtide import __version__
from jobtide_controller.page.access import Access, NoAnswerError
from jobtide_controller.page.feed import Feed
from jobtide_controller.page.guard import check_csrf
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights, User
from jobtide_controller.page.sessions import (
    FAILURES_OF_PEER,
    SESSION_SECONDS,
    TICKET_PREFIX,
    Session,
    Sessions,
    Throttle,
)

TOKEN_CHARACTERS = 16_384
BODY_SECONDS = 10.0


class Viewers:
    """Handlers of login and logout, and `of(request)` for all others."""

    def __init__(self, access: Access, feed: Feed, *, mode: str, path: str) -> None:
        self.access = access
        self._feed = feed
        self._mode = mode
        self._path = path or "/"
        self._sessions = Sessions(time.monotonic)
        self._clients = Throttle(time.monotonic)
        self._peers = Throttle(time.monotonic, FAILURES_OF_PEER)
        # Cookies know no ports: the pages of two controllers, each on a port of localhost, must not share one.
        self._cookie = f"jobtide_{secrets.token_hex(4)}"

    async def login(self, request: web.Request) -> web.Response:
        """Begins a session for a token, or for a ticket."""
        user = await self._authenticated(request)
        key, session = self._sessions.begin(user)
        answer = web.json_response({"user": user.name, "csrf": session.csrf})
        answer.set_cookie(
            self._cookie,
            key,
            max_age=int(SESSION_SECONDS),
            path=self._path,
            secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
            httponly=True,
            samesite="Strict",
        )
        return answer

    async def ticket(self, request: web.Request) -> web.Response:
        """A ticket for a token: the browser that `kubectl jobtide page` opens never has the token itself."""
        user = await self._authenticated(request)
        return web.json_response({"user": user.name, "ticket": self._sessions.new_ticket(user)})

    async def logout(self, request: web.Request) -> web.Response:
        self.of(request)
        self._sessions.end(request.cookies[self._cookie])
        answer = web.json_response({})
        answer.del_cookie(self._cookie, path=self._path)
        return answer

    async def me(self, request: web.Request) -> web.Response:
        session = self.of(request)
        snapshot = (await self._feed.latest()).snapshot
        return web.json_response(
            {
                "user": session.user.name,
                "csrf": session.csrf,
                "version": __version__,
                "leader": snapshot.leads,
                "leader_name": snapshot.leader,
                "mode": self._mode,
            }
        )

    def of(self, request: web.Request) -> Session:
        """The session of this request. Raises the refusal: no session, or a POST without its value."""
        session = self.session(request)
        if session is None:
            raise problem(401, "no one is logged in", "log in with a token, or open the page again as you did")
        if request.method != "GET":
            check_csrf(request, session)
        return session

    def session(self, request: web.Request) -> Session | None:
        """The session of this request, if there is one now."""
        return self._sessions.get(request.cookies.get(self._cookie, ""))

    async def rights(self, user: User, namespaces: frozenset[str]) -> Rights:
        """What the user may do, some seconds old. Raises the refusal if the API server does not answer."""
        with _checkable("your rights"):
            return await self.access.rights(user, namespaces)

    async def rights_now(self, user: User, namespaces: frozenset[str]) -> Rights:
        """What the user may do now. Raises the same."""
        with _checkable("your rights"):
            return await self.access.rights_now(user, namespaces)

    async def _authenticated(self, request: web.Request) -> User:
        peer = request.remote or ""
        client = f"{peer} {request.headers.get('X-Forwarded-For', '').rpartition(',')[2].strip()[:64]}"
        limits = (self._clients, client), (self._peers, peer)
        token = (await body_of(request)).get("token")
        if not isinstance(token, str) or not 0 < len(token) <= TOKEN_CHARACTERS:
            raise problem(400, "a login needs a token", 'send {"token": "..."}')
        # Not before the body, for which a client may take its time.
        wait_seconds = max(throttle.wait_seconds(who) for throttle, who in limits)
        if wait_seconds > 0:
            raise problem(429, "too many logins failed", f"try again in {wait_seconds:.0f} s")
        for throttle, who in limits:
            throttle.note_attempt(who)
        user = await self._user_of(token)
        if user is None:
            raise problem(401, "the token is not valid, or no longer", "get a new one: kubectl jobtide page")
        for throttle, who in limits:
            throttle.note_success(who)
        return user

    async def _user_of(self, token: str) -> User | None:
        if token.startswith(TICKET_PREFIX):
            return self._sessions.redeem(token)
        with _checkable("the token"):
            return await self.access.authenticate(token)


@contextlib.contextmanager
def _checkable(what: str) -> Iterator[None]:
    try:
        yield
    except NoAnswerError as error:
        raise problem(503, f"{what} can't be checked: {error}", "try again in some seconds") from None


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises the refusal for anything else."""
    if request.content_type != "application/json":
        raise problem(415, "the body is not application/json", "send a JSON object")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = json.loads(await request.read())
    except TimeoutError:
        raise problem(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    except (ValueError, RecursionError, web.RequestPayloadError):
        raise problem(400, "the body is no JSON", "send a JSON object") from None
    if not isinstance(body, dict):
        raise problem(400, "the body is no JSON object", "send a JSON object")
    return body
