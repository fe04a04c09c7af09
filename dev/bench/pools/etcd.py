"""Reads and writes in bulk what the API server stored, through etcd's JSON gateway."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# etcd takes 128 operations in one transaction.
PUTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Etcd:
    """One etcd without TLS. Raises urllib.error.URLError if it does not answer."""

    url: str

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
        request = urllib.request.Request(f"{self.url}/v3/kv/{what}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            parsed: dict[str, Any] = json.load(answer)
            return parsed


def _batches(values: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    rest = iter(values)
    while some := list(itertools.islice(rest, PUTS_AT_ONCE)):
        yield some


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
