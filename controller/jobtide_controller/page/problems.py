"""Refusals of the page: a status, one sentence, and what to do."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

_CLASSES: dict[int, type[web.HTTPException]] = {
    kind.status_code: kind
    for kind in vars(web).values()
    if isinstance(kind, type) and issubclass(kind, web.HTTPError) and kind.status_code >= HTTPStatus.BAD_REQUEST
}


def problem(status: int, message: str, fix: str | None = None) -> web.HTTPException:
    """The exception that answers with this refusal."""
    text = json.dumps({"error": {"status": status, "message": message, "fix": fix}})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return web.HTTPMethodNotAllowed("", (), text=text, content_type="application/json")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return web.HTTPRequestEntityTooLarge(0, text=text, content_type="application/json")
    return _CLASSES.get(status, web.HTTPInternalServerError)(text=text, content_type="application/json")
