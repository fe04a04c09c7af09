"""What `jobtide dev` prints: the controller's sentences, the workers' lines, and its own, one below the other."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger("jobtide.dev")


def configure(level: str, write: Callable[[str], None]) -> None:
    """Sends every log line of this process to `write`."""
    handler = _Handler(write)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("aiohttp.access", "asyncio", "psycopg"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def say(sentence: str) -> None:
    """One line of the command itself."""
    _log.info(sentence)


def say_of_worker(name: str, line: str) -> None:
    """What a worker printed, or a sentence about it."""
    _log.info("%s | %s", name, line)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        moment, _, message = text.partition(" ")
        return f"{moment} {record.levelname.lower()}: {message}"


class _Handler(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)
