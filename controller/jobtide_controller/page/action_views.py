"""Handlers of changes. Each checks the viewer's right again, and asks the API server for it without memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from aiohttp import web

from jobtide.operate.filters import FIELDS, VERBS, FilterRefused, JobFilter, Verb
from jobtide_controller.page.actions import Action, Actions, Found, Wanted
from jobtide_controller.page.desk import refused
from jobtide_controller.page.feed import Message, Published
from jobtide_controller.page.job_rights import JobRights
from jobtide_controller.page.job_views import filter_of
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights, User
from jobtide_controller.page.viewer import Viewers, body_of
from jobtide_controller.page.views import Views

IDS_MAX = 100


class ActionViews:
    """Preview, start, stop and list."""

    def __init__(self, viewers: Viewers, views: Views, actions: Actions) -> None:
        self._viewers = viewers
        self._views = views
        self._actions = actions
        self._look = -1
        self._rendered: dict[tuple[User, Rights], Message] = {}  # of this look
        self._before: dict[tuple[User, Rights], Message] = {}

    async def preview(self, request: web.Request) -> web.Response:
        """How many jobs a change concerns, and ten of them; nothing is changed."""
        session = self._viewers.of(request)
        body = await body_of(request)
        published, rights = await self._views.seen(request)
        database, verb = _text(body, "database"), _verb(body)
        may = JobRights(published, rights, database, "patch")
        if "ids" in body:
            may.check_any()
            wanted = Wanted.of_ids(database, verb, _ids(body["ids"]))
        else:
            wanted = Wanted.of_filter(database, verb, _filter(body, may, verb))
        document = await self._actions.preview(session.user, wanted, lambda found: may.check(found.types))
        return web.json_response(document)

    async def start(self, request: web.Request) -> web.Response:
        """Begins what was previewed, if the number is confirmed."""
        session = self._viewers.of(request)
        body = await body_of(request)
        token = _text(body, "token")
        wanted, found = self._actions.previewed(session.user, token, body.get("confirm"))
        published, _ = await self._views.seen(request)
        rights = await self._viewers.rights_now(session.user, published.namespaces)
        _check(JobRights(published, rights, wanted.database, "patch"), wanted, found)
        self._actions.previewed(session.user, token, body.get("confirm"))  # a second start at the same time
        return web.json_response({"action": self._actions.start(session.user, token).id})

    async def stop(self, request: web.Request) -> web.Response:
        """Ends an action after its batch."""
        session = self._viewers.of(request)
        action = self._actions.get(request.match_info["id"])
        is_own = action is not None and action.user.is_same(session.user)
        if action is None or not (is_own or await self._may_stop(request, session.user, action)):
            raise problem(404, "there is no such action that you may stop", "ask the user who began it")
        action.stop()
        return web.json_response({})

    async def _may_stop(self, request: web.Request, user: User, action: Action) -> bool:
        """Whether this user may stop an action of another one."""
        published, _ = await self._views.seen(request)
        rights = await self._viewers.rights_now(user, published.namespaces)
        return JobRights(published, rights, action.wanted.database, "patch").all

    async def listed(self, request: web.Request) -> web.Response:
        """The log of actions, newest first."""
        session = self._viewers.of(request)
        published, rights = await self._views.seen(request)
        return web.json_response(self._seen(session.user, published, rights))

    def message(self, user: User, published: Published, rights: Rights) -> Message:
        """The event of the log, rendered once for all pages of a user until it changes."""
        if published.version != self._look:
            self._look, self._before, self._rendered = published.version, self._rendered, {}
        key = user, rights
        found = self._rendered.get(key) or self._before.get(key)
        if found is None or found.number != self._actions.version:
            text = json.dumps(self._seen(user, published, rights), separators=(",", ":"))
            found = Message(self._actions.version, f"event: actions\ndata: {text}\n\n".encode())
        self._rendered[key] = found
        return found

    def _seen(self, user: User, published: Published, rights: Rights) -> list[dict[str, Any]]:
        seen: dict[str, bool] = {}  # by database: whether all its actions may be seen

        def may_see(action: Action) -> bool:
            database = action.wanted.database
            if action.user.is_same(user):
                return True
            if database not in seen:
                seen[database] = JobRights(published, rights, database, "list").all
            return seen[database]

        return self._actions.seen(may_see)


def _check(may: JobRights, wanted: Wanted, found: Found) -> None:
    """Raises the refusal if the right was withdrawn since the preview."""
    for which in wanted.filters[:1]:
        if may.narrowed(which) != which:
            raise problem(403, "your rights have changed since the preview", "look at the preview again")
    may.check(found.types)


def _filter(body: Mapping[str, Any], may: JobRights, verb: Verb) -> JobFilter:
    values = body.get("filter")
    if not isinstance(values, dict) or not all(isinstance(text, str) for text in values.values()):
        raise problem(400, "filter is no object of texts", f"use the names {', '.join(FIELDS)}")
    which = may.narrowed(filter_of(values))
    try:
        which.check_change(verb)
    except FilterRefused as error:
        raise refused(error) from None
    return which


def _verb(body: Mapping[str, Any]) -> Verb:
    for verb in VERBS:
        if body.get("verb") == verb:
            return verb
    raise problem(400, "there is no such verb", f"use one of {', '.join(VERBS)}")


def _ids(given: Any) -> Sequence[UUID]:
    if not isinstance(given, list) or not 0 < len(given) <= IDS_MAX:
        raise problem(400, "ids is no list of job ids", f"give 1 to {IDS_MAX}, or a filter")
    try:
        return [UUID(text) for text in dict.fromkeys(given)]
    except (ValueError, TypeError, AttributeError):
        raise problem(400, "ids has a text that is no UUID", "give the ids of jobs") from None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise problem(400, f"{name} is missing", f"send {name} as a text")
    return value
