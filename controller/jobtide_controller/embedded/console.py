"""What `jobtide dev` prints: the controller's sentences, the workers' lines, and its own, one below the other."""

from __future__ import annotations

import json
import logging
import textwrap
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("jobtide.dev")
_LEFT_OUT = {"time", "level", "logger", "message", "pool", "pod", "error", "app", "concurrency", "pod_uid", "traceback"}


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
    """One line that a worker printed, or a sentence about it."""
    _log.info("%s | %s", name, readable(line))


def readable(line: str) -> str:
    """A JSON line of the worker's log as text, with the error of a failed job below it; any other line unchanged."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    if not isinstance(fields, dict) or not isinstance(fields.get("message"), str):
        return line
    level = fields.get("level", "info")
    text: str = ("" if level in {"info", "debug"} else f"{level}: ") + fields["message"]
    details = " ".join(f"{name}={value}" for name, value in fields.items() if name not in _LEFT_OUT)
    error = fields.get("error")
    if isinstance(error, dict):
        text += f": {error.get('type', 'error')}: {error.get('message', '')}"
    elif error:
        text += f": {error}"
    traceback = _traceback(fields, error) if level == "error" else ""  # a retried job's last attempt shows it
    return (
        text + (f" ({details})" if details else "") + (f"\n{textwrap.indent(traceback, '    ')}" if traceback else "")
    )


def _traceback(fields: dict[str, Any], error: object) -> str:
    found = error.get("traceback") if isinstance(error, dict) else fields.get("traceback")
    return str(found).rstrip() if found else ""


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
