"""What a browser may do with the page: headers of every answer, and which requests are refused before they are read."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web

from jobtide_controller.page.problems import problem
from jobtide_controller.page.sessions import Session

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
CSRF_HEADER = "X-Jobtide-CSRF"
REQUEST_SECONDS = 15.0

_log = logging.getLogger("jobtide_controller")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers to an answer, also to a refusal; what the answer has stays."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "jobtide"


def check_host(request: web.Request, hosts: Collection[str]) -> None:
    """Refuses names of other hosts: a page elsewhere may have its name point to this address (DNS rebinding)."""
    if request.headers.get("Host", "") not in hosts:
        raise problem(
            421, "the page answers to the address that the terminal shows only", "open that address, with this port"
        )


def check_origin(request: web.Request) -> None:
    """Refuses requests that another site's page sends.

    A browser sets Sec-Fetch-Site on https and on localhost, also behind a proxy that changes Host; no page can set it.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_own = site in {"same-origin", "none"}
    elif origin is not None:
        own = {request.headers.get("Host"), request.headers.get("X-Forwarded-Host")} - {None}
        is_own = urlsplit(origin).netloc in own
    else:
        is_own = True  # no browser; what it may do depends on its token
    if not is_own:
        raise problem(403, "another site sent this request", "open the page itself, and try again there")


def check_csrf(request: web.Request, session: Session) -> None:
    """Refuses a request without the session's own value, which no other site can read."""
    if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), session.csrf.encode()):
        raise problem(403, f"the header {CSRF_HEADER} is not that of this session", "load the page again")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal has the same form, and none takes longer than REQUEST_SECONDS; streams end by themselves."""
    try:
        if request.path.endswith("/api/events"):
            return await handler(request)
        async with asyncio.timeout(REQUEST_SECONDS):
            return await handler(request)
    except TimeoutError:
        raise problem(504, f"no answer within {REQUEST_SECONDS:g} s", "try again, or narrow the search") from None
    except web.HTTPException as error:
        if error.content_type == "application/json" or error.status < 400:  # noqa: PLR2004 - redirects are no errors
            raise
        raise problem(error.status, f"{request.method} {request.path[:200]}: {error.reason}") from None
    except ConnectionError:  # aiohttp logs others than refusals with a traceback; no one gets this one
        raise problem(400, "the client left in the middle of its request") from None
    except Exception:  # noqa: BLE001 - it is logged with its traceback
        _log.exception("bug: %s %s failed, please report it", request.method, request.path[:200])
        raise problem(500, "a bug in Jobtide; the controller's log has the traceback", "please report it") from None
