"""Reads and writes in bulk what the API server stored, through etcd's JSON gateway."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.machine.unix_http import call

# etcd takes 128 operations in one transaction.
PUTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Etcd:
    """One etcd that listens on a Unix socket. Raises OSError if it does not answer."""

    socket: Path

    def get(self, key: str) -> bytes:
        """Returns the stored value; raises KeyError if there is no such key."""
        (found,) = self._call("range", {"key": _encoded(key.encode())})["kvs"]
        return base64.b64decode(found["value"])

    def put(self, values: Iterable[tuple[str, bytes]]) -> None:
        """In the order given. The API server notices it like its own writes."""
        for some in _batches(values):
            puts = [{"requestPut": {"key": _encoded(key.encode()), "value": _encoded(value)}} for key, value in some]
            self._call("txn", {"success": puts})

    def _call(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = call(self.socket, f"/v3/kv/{what}", json.dumps(body).encode(), timeout_seconds=60)
        parsed: dict[str, Any] = json.loads(answer)
        return parsed


def _batches(values: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    rest = iter(values)
    while some := list(itertools.islice(rest, PUTS_AT_ONCE)):
        yield some


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
