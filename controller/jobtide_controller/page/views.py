"""Handlers of what the controller knows by itself: the overview, and one pool."""

from __future__ import annotations

from aiohttp import web

from jobtide_controller.page import documents
from jobtide_controller.page.events import Messages
from jobtide_controller.page.feed import Feed, Message, Published, Rendered
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights
from jobtide_controller.page.viewer import Viewers


class Views:
    """Reads the feed only: no request asks a database."""

    def __init__(self, viewers: Viewers, feed: Feed) -> None:
        self._viewers = viewers
        self._feed = feed
        self._overviews = Rendered("overview")

    async def overview(self, request: web.Request) -> web.Response:
        published, rights = await self._seen(request)
        return web.json_response(self._overview(published, rights))

    def messages(self, request: web.Request) -> Messages:
        """Which events this viewer gets."""
        del request
        return lambda published, rights: [self._overview_message(published, rights)]

    async def _seen(self, request: web.Request) -> tuple[Published, Rights]:
        session = self._viewers.of(request)
        published = await self._feed.latest()
        if not published.snapshot.leads:
            raise follower(published.snapshot.leader)
        return published, await self._viewers.rights(session.user, published.namespaces)

    def _overview_message(self, published: Published, rights: Rights) -> Message:
        return self._overviews.message(published, rights, lambda: self._overview(published, rights))

    def _overview(self, published: Published, rights: Rights) -> documents.Json:
        return documents.overview(published.snapshot, published.depths, rights, {})


def follower(leader: str | None) -> web.HTTPException:
    """The refusal of a controller that does not lead."""
    who = f"pod {leader} leads" if leader else "no controller leads at the moment"
    fix = f"forward a port to pod {leader}; kubectl jobtide page does so" if leader else "try again in some seconds"
    return problem(503, f"this controller waits: {who}", fix)
