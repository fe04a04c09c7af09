"""Handlers of what the controller knows by itself: the overview, and one pool."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, get_args

from aiohttp import web

from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page import documents, pool_document, samples
from jobtide_controller.page.events import Messages
from jobtide_controller.page.feed import Feed, Message, Published, Rendered
from jobtide_controller.page.history import RANGES, By, History, Range
from jobtide_controller.page.job_rights import JobRights
from jobtide_controller.page.limits import Limiting
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights
from jobtide_controller.page.viewer import Viewers

Json = documents.Json


class _Wanted(NamedTuple):
    """Which pool's page is open, and how."""

    namespace: str
    name: str
    range_: Range
    by: By


class Views:
    """Reads the feed only: no request asks a database."""

    def __init__(
        self, viewers: Viewers, feed: Feed, history: History, with_jobs: Callable[[], Collection[str]]
    ) -> None:
        """`with_jobs` returns the databases whose jobs can be looked at."""
        self._viewers = viewers
        self._feed = feed
        self._history = history
        self._with_jobs = with_jobs
        self._rows = documents.Rows()
        self._overviews = Rendered("overview")
        self._look, self._bodies = -1, dict[Rights, bytes]()
        self._pools = Rendered("pool")

    async def overview(self, request: web.Request) -> web.Response:
        """The overview, rendered once for each look and the same rights."""
        published, rights = await self.seen(request)
        if published.version != self._look:
            self._look, self._bodies = published.version, {}
        body = self._bodies.get(rights)
        if body is None:
            body = self._bodies[rights] = json.dumps(self._overview(published, rights)).encode()
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def pool(self, request: web.Request) -> web.Response:
        """One pool with its history."""
        published, rights = await self.seen(request)
        wanted = _wanted(request, request.match_info["namespace"], request.match_info["name"])
        entry = _entry(published, rights, wanted)
        if entry is None:
            raise problem(404, f"there is no pool {wanted.namespace}/{wanted.name} that you may see")
        now = published.snapshot.taken_at
        samples.begin(self._history, entry, now)
        shows = self.shows_tenants(published, rights, entry.database, entry.types)
        series = self._history.series(entry.uid, wanted.range_, wanted.by, now) if self._may(wanted, shows) else None
        depths = published.depths.get(entry.database)
        row, kept = self._row(published, rights, entry), self._history.decisions(entry.uid)
        held = documents.held_of(entry, published.snapshot.databases.get(entry.database))
        document = pool_document.pool_document(entry, row, series, depths, held=held, kept=kept, now=now)
        limiting = limiting_of(published, entry.database)
        tenants = pool_document.tenants_of(entry, depths, limiting) if shows else []
        return web.json_response({**document, "by_tenant": tenants})

    def messages(self, request: web.Request) -> Messages:
        """Which events this viewer gets: of the overview, and of the pool that it looks at."""
        namespace, _, name = request.query.get("pool", "").partition("/")
        wanted = _wanted(request, namespace, name) if name else None

        def messages(published: Published, rights: Rights) -> list[Message]:
            overview = self._overviews.message(published, rights, lambda: self._overview(published, rights))
            entry = None if wanted is None else _entry(published, rights, wanted)
            if wanted is None or entry is None:
                return [overview]
            key = rights, wanted
            return [
                overview,
                self._pools.message(published, key, lambda: self._point(published, rights, entry, wanted)),
            ]

        return messages

    async def seen(self, request: web.Request) -> tuple[Published, Rights]:
        """The newest look, and what the sender of this request may do. Raises the refusal."""
        session = self._viewers.of(request)
        published = await self._feed.latest()
        if not published.snapshot.leads:
            raise follower(published.snapshot.leader)
        return published, await self._viewers.rights(session.user, published.namespaces)

    def shows_tenants(self, published: Published, rights: Rights, database: str, types: Iterable[str] = ()) -> bool:
        """Whether tenants of these types may be shown: the administrator chose so, or their jobs may be seen."""
        view = published.snapshot.databases.get(database)
        if view is not None and view.shows_tenants:
            return True
        may = JobRights(published, rights, database, "list")
        return database in self._with_jobs() and all(map(may.allows, types))

    @staticmethod
    def _may(wanted: _Wanted, shows_tenants: bool) -> bool:  # noqa: FBT001 - a fact, not a switch
        return wanted.by == "type" or shows_tenants

    def _overview(self, published: Published, rights: Rights) -> Json:
        rows = self._rows.of(published.snapshot, published.depths)
        return documents.overview(published.snapshot, rows, rights, self._with_jobs())

    def _row(self, published: Published, rights: Rights, entry: PoolEntry) -> Json:
        view, depths = published.snapshot.databases.get(entry.database), published.depths.get(entry.database)
        return {
            **documents.pool_row(entry, view, depths),
            "may": documents.may([entry.ref.namespace], rights),
        }

    def _point(self, published: Published, rights: Rights, entry: PoolEntry, wanted: _Wanted) -> Json:
        now = published.snapshot.taken_at
        shows = self._may(wanted, self.shows_tenants(published, rights, entry.database, entry.types))
        series = self._history.series(entry.uid, wanted.range_, wanted.by, now)
        return {
            "now": now,
            "pool": self._row(published, rights, entry),
            "point": pool_document.newest_point(series) if shows else None,
            "decisions": pool_document.decisions(
                self._history.decisions(entry.uid), since=now - pool_document.LATELY_SECONDS
            ),
        }


def _wanted(request: web.Request, namespace: str, name: str) -> _Wanted:
    range_, by = request.query.get("range", "15m"), request.query.get("by", "type")
    for known in RANGES:
        for kind in get_args(By):
            if (known, kind) == (range_, by):
                return _Wanted(namespace, name, known, kind)
    raise problem(400, "range or by is not known", f"range is one of {', '.join(RANGES)}; by is type or tenant")


def _entry(published: Published, rights: Rights, wanted: _Wanted) -> PoolEntry | None:
    if wanted.namespace not in rights.sees:
        return None
    ref = wanted.namespace, wanted.name
    return next((entry for entry in published.snapshot.pools if entry.ref == ref), None)


def limiting_of(published: Published, database: str) -> Limiting:
    """The limits of tenants for all pools of the database."""
    view = published.snapshot.databases.get(database)
    return Limiting({} if view is None else view.shared_limits, published.snapshot.taken_at)


def follower(leader: str | None) -> web.HTTPException:
    """The refusal of a controller that does not lead."""
    who = f"pod {leader} leads" if leader else "no controller leads at the moment"
    fix = f"forward a port to pod {leader}; kubectl jobtide page does so" if leader else "try again in some seconds"
    return problem(503, f"this controller waits: {who}", fix)
