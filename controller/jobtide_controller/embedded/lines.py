"""The lines of a worker's log, which are JSON, as text."""

from __future__ import annotations

import json
import textwrap
from typing import Any

_LEFT_OUT = {"time", "level", "logger", "message", "pool", "pod", "error", "app", "concurrency", "pod_uid", "traceback"}


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
