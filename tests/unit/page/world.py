"""A page on a port of loopback, over a snapshot and rights that the test chooses, and browsers that open it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.spec import UNLIMITED
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable
from jobtide_controller.decide.schedules import in_force
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.loop.term import PoolState
from jobtide_controller.page.access import NoAnswerError
from jobtide_controller.page.desk import NoDatabases, OperatorUrls
from jobtide_controller.page.rights import User
from jobtide_controller.page.server import Page, Place
from jobtide_controller.page.snapshot import DatabaseView, Snapshot
from jobtide_controller.telemetry.metrics import PoolGauges
from tests.unit.decide.builders import NOW, pool

ALICE, EVE = User("alice", groups=("media",)), User("eve")
DEPTHS = {
    Key("a", "t1"): Depth(due=7, later=2, running=3, oldest_age_seconds=41.0),
    Key("b", "t2"): Depth(due=1, oldest_age_seconds=5.0),
}


def entry(
    name: str = "thumbs", namespace: str = "media", status: dict[str, Any] | None = None, **spec: Any
) -> PoolEntry:
    made = pool(name, **spec)
    return PoolEntry(f"{namespace}/{name}", PoolRef(namespace, name), made, 1, status)


def state(one: PoolEntry, *, desired: int = 2, ready: int = 1, busy: int = 1, readable: bool = True) -> PoolState:
    own = one.pool.spec
    windows = in_force(own, NOW, 0.0)
    tenants = own.tenants if own.tenants.has_pause else UNLIMITED
    gauges = PoolGauges(
        one.ref, one.database, (), readable, 10, 3, 41.0, desired, ready, busy, (), in_force=windows, tenants=tenants
    )
    return PoolState(scaler=None, gauges=gauges)  # type: ignore[arg-type]


def snapshot(
    *entries: PoolEntry,
    depths: dict[Key, Depth] | Unreadable | None = None,
    at: float = NOW,
    leads: bool = True,
    shows_tenants: bool = True,
) -> Snapshot:
    reading = depths if isinstance(depths, Unreadable) else Reading(at, DEPTHS if depths is None else depths)
    readable = not isinstance(reading, Unreadable)
    databases = {
        name: DatabaseView(
            reading,
            at if readable else None,
            shows_tenants,
            (),
            {one.uid: state(one, readable=readable) for one in entries if one.database == name},
        )
        for name in {one.database for one in entries}
    }
    return Snapshot(at, leads, "pod-1", entries, databases if leads else {})


@dataclass
class Reviews:
    """`rights`: by user, pairs of verb and namespace; "" is every namespace. It counts what it is asked."""

    tokens: dict[str, User] = field(default_factory=lambda: {"alice-token": ALICE, "eve-token": EVE})
    rights: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: {"alice": {("list", ""), ("patch", ""), ("payloads", "")}}
    )
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    is_down: bool = False

    async def authenticate(self, token: str) -> User | None:
        if self.is_down:
            raise NoAnswerError("the API server is away")
        return self.tokens.get(token)

    async def is_allowed(self, user: User, verb: str, namespace: str) -> bool:
        if self.is_down:
            raise NoAnswerError("the API server is away")
        self.asked.append((user.name, verb, namespace))
        return (verb, namespace) in self.rights.get(user.name, set())


@dataclass
class World:
    """What the controller knows; a test replaces it while the page runs."""

    snapshot: Snapshot
    reviews: Reviews = field(default_factory=Reviews)
    place: Place = field(default_factory=lambda: Place(0, "127.0.0.1"))
    urls: OperatorUrls = field(default_factory=NoDatabases)
    taken: int = 0
    events: list[object] = field(default_factory=list)
    port: int = 0

    def take(self) -> Snapshot:
        self.taken += 1
        return self.snapshot

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.place.path}/"


@asynccontextmanager
async def served(world: World) -> AsyncIterator[World]:
    page = Page(world.place, world.take, world.reviews, world.urls, world.events.append)
    world.port = page.start()
    try:
        yield world
    finally:
        await page.close()


class Browser:
    """Keeps cookies, and sends what a browser sends from the page itself."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, path: str = "", **headers: str) -> tuple[int, Any]:
        async with self.session.get(self.base + path, headers=headers) as answer:
            return answer.status, _parsed(await answer.text())

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"X-Jobtide-CSRF": self.csrf, "Sec-Fetch-Site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with self.session.post(self.base + path, json=body, headers=sent) as answer:
            return answer.status, _parsed(await answer.text())

    async def login(self, token: str = "alice-token") -> Browser:
        status, found = await self.post("api/login", {"token": token})
        assert status == 200, found
        self.csrf = found["csrf"]
        return self

    async def events(self, query: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Each event with its document."""
        async with self.session.get(f"{self.base}api/events{query}") as answer:
            assert answer.status == 200, await answer.text()
            name = ""
            async for line in answer.content:
                kind, _, value = line.decode().rstrip("\n").partition(": ")
                if kind == "event":
                    name = value
                if kind == "data":
                    yield name, json.loads(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def eventually(stream: AsyncIterator[tuple[str, Any]], name: str, seconds: float = 10) -> Any:
    """The document of the next event of this name."""
    async with asyncio.timeout(seconds):
        async for kind, document in stream:
            if kind == name:
                return document
    raise AssertionError(f"the stream ended without {name}")


def names(document: dict[str, Any]) -> Iterable[str]:
    return [row["name"] for row in document["pools"]]
