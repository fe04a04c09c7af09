"""Derives from kopf's log whether its requests reach the API server: kopf logs each attempt of a request that fails."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REQUESTS = "kopf._cogs.clients"

# Longer than an attempt and the pause after it. kopf logs nothing when a request is cancelled.
SILENT_SECONDS = 60.0

_ATTEMPT = re.compile(r"Request attempt \S+ (?:(?P<failed>failed; will retry: )|succeeded: )(?P<what>.*)", re.DOTALL)


class Reachability(logging.Handler):
    """Reports once that attempts fail, and once that one succeeds. Called in kopf's thread."""

    def __init__(
        self,
        lost: Callable[[str], None],
        found: Callable[[float], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._lost = lost
        self._found = found
        self._monotonic = monotonic
        self._lost_at: float | None = None
        self._failed_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Takes kopf's lines about attempts; other lines go to the root logger, from WARNING on."""
        attempt = _ATTEMPT.fullmatch(record.getMessage())
        if attempt is None:
            if record.levelno >= logging.WARNING:
                logging.getLogger().handle(record)
        elif attempt["failed"]:
            self._note_failure(attempt["what"])
        elif self._lost_at is not None:
            away_seconds, self._lost_at = self._monotonic() - self._lost_at, None
            self._found(away_seconds)

    def _note_failure(self, what: str) -> None:
        now = self._monotonic()
        if self._lost_at is None or now - self._failed_at > SILENT_SECONDS:
            self._lost_at = now
            self._lost(what)
        self._failed_at = now


@contextmanager
def attached(reachability: Reachability) -> Iterator[None]:
    """Until the block ends, kopf's log of its requests goes to `reachability` only."""
    logger = logging.getLogger(REQUESTS)
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)  # the level of the attempt that succeeds after others failed
    logger.propagate = False
    logger.addHandler(reachability)
    try:
        yield
    finally:
        logger.removeHandler(reachability)
        logger.setLevel(before[0])  # clears the level that the loggers below have cached
        logger.propagate = before[1]
