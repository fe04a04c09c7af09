"""Waits with a deadline for things that start or end by themselves."""

from __future__ import annotations

import http
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dev.machine.errors import DevError

POLL_SECONDS = 0.1
READY_WITHIN_SECONDS = 120.0

Found = TypeVar("Found")


def wait_until(
    what: str,
    look_for: Callable[[], Found | None],
    *,
    within_seconds: float = READY_WITHIN_SECONDS,
    poll_seconds: float = POLL_SECONDS,
    reason: Callable[[], str] = str,
) -> Found:
    """The first true value of `look_for()`; raises DevError with `what` and `reason()` after the deadline."""
    found = first_true(look_for, within_seconds=within_seconds, poll_seconds=poll_seconds)
    if not found:
        raise DevError(f"waited {within_seconds:g} s for {what}, without success: {reason()}".removesuffix(": "))
    return found


def first_true(
    look_for: Callable[[], Found | None], *, within_seconds: float, poll_seconds: float = POLL_SECONDS
) -> Found | None:
    """The first true value of `look_for()`; the last value, which is not true, after the deadline."""
    deadline = time.monotonic() + within_seconds
    while not (found := look_for()) and time.monotonic() < deadline:
        time.sleep(poll_seconds)
    return found


def answers(url: str, *, token: str = "", authority: Path | None = None) -> bool:
    """True if a GET is answered with 200, within 5 s."""
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
