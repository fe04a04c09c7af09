"""Asks the API server with urllib: it retries nothing, so a caller knows at once when there is no answer."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dev.cluster.pki import Credentials

ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 15.0  # a watch that is silent for so long counts as cut off

NoAnswer = (OSError, http.client.HTTPException, ValueError)
"""What each call may raise: refused, late, cut off, or half of a JSON document."""


@dataclass(frozen=True, slots=True)
class Api:
    """A client of one API server, for what chaos reads and writes. Every call may raise NoAnswer.

    HTTPError, which is also a NoAnswer, is an answer other than 2xx.
    """

    url: str
    credentials: Credentials
    _opener: urllib.request.OpenerDirector = field(init=False)

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.credentials.authority))
        # An empty table of proxies: what runs on this machine is never reached through another.
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        object.__setattr__(self, "_opener", urllib.request.build_opener(*handlers))

    def get(self, path: str) -> Any:
        return json.loads(self.read(path))

    def read(self, path: str, *, answer_seconds: float = ANSWER_SECONDS) -> bytes:
        """The answer as it is, for objects that Python's parser can't read."""
        return self._answer(self._request(path), answer_seconds)

    def lines(self, path: str) -> Iterator[Any]:
        """The events of a watch until it ends."""
        with self._opener.open(self._request(path), timeout=SILENCE_SECONDS) as answer:
            for line in answer:
                yield json.loads(line)

    def close(self) -> None:
        """Does nothing: `lines` ends with its next event or after SILENCE_SECONDS."""

    def delete(self, path: str, options: dict[str, Any], *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer(self._request(path, method="DELETE", body=json.dumps(options).encode()), answer_seconds)

    def apply(self, path: str, body: str, *, manager: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Server-side apply, by force. `body` is JSON, which is sent as it is."""
        query = f"{path}?fieldManager={manager}&force=true"
        request = self._request(query, method="PATCH", body=body.encode(), content_type="application/apply-patch+yaml")
        self._answer(request, answer_seconds)

    def _answer(self, request: urllib.request.Request, answer_seconds: float) -> bytes:
        with self._opener.open(request, timeout=answer_seconds) as answer:
            content: bytes = answer.read()
        return content

    def _request(
        self, path: str, *, method: str = "GET", body: bytes | None = None, content_type: str = "application/json"
    ) -> urllib.request.Request:
        headers = {"Authorization": f"Bearer {self.credentials.token}", "Content-Type": content_type}
        return urllib.request.Request(f"{self.url}{path}", data=body, headers=headers, method=method)
