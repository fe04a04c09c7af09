"""Waits for things that come up by themselves, with a deadline and a reason when they do not."""

from __future__ import annotations

import http
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from dev.machine.errors import DevError

POLL_SECONDS = 0.1
READY_WITHIN_SECONDS = 120.0


def wait_until(
    what: str,
    holds: Callable[[], bool],
    *,
    within_seconds: float = READY_WITHIN_SECONDS,
    reason: Callable[[], str] = str,
) -> None:
    """Returns as soon as `holds()`; after the deadline raises with what `reason()` knows."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise DevError(f"{what} did not come true within {within_seconds:.0f} s: {reason()}")
        time.sleep(POLL_SECONDS)


def answers(url: str, *, token: str = "", authority: Path | None = None) -> bool:
    """Whether a GET is answered with 200, at once."""
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=str(authority)) if authority else None
    # An empty table of proxies: what runs on this machine is never reached through another.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=5) as response:
            return bool(response.status == http.HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
