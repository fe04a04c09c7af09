"""A watch that misses nothing between two lists, however often it is cut off."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import pytest

from dev.stage.watch import Watch

PATH = "/api/v1/pods?"


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}


def event(type_: str, name: str, version: int) -> dict[str, Any]:
    return {"type": type_, "object": item(name, version)}


@dataclass(slots=True)
class Scripted:
    """One list, and what each watch says before it ends; an exception is raised in its place."""

    watches: list[list[dict[str, Any] | Exception]]
    asked: list[str] = field(default_factory=list)

    def get(self, path: str) -> Any:
        self.asked.append("list")
        return {"metadata": {"resourceVersion": "10"}, "items": [item("one", 9)]}

    def lines(self, path: str) -> Iterator[Any]:
        self.asked.append(path.rpartition("resourceVersion=")[2])
        for said in self.watches.pop(0):
            if isinstance(said, Exception):
                raise said
            yield said


def seen_by(server: Scripted) -> list[tuple[str, str]]:
    """What a watch sees until the server has no more to say."""
    seen: list[tuple[str, str]] = []
    watch = Watch(server, PATH, lambda change, found, at: seen.append((change, found["metadata"]["name"])))
    while server.watches:
        watch.run_once()
    return seen


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    server = Scripted([[event("MODIFIED", "one", 11)], [event("BOOKMARK", "", 15)], [event("DELETED", "one", 16)]])

    assert seen_by(server) == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
    assert server.asked == ["list", "10", "11", "15"]


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(ConnectionResetError("cut off"), id="cut-off"),
        pytest.param(TimeoutError("silence"), id="silence"),
        pytest.param(ValueError("half a line"), id="half-a-line"),
        pytest.param(urllib.error.HTTPError(PATH, 500, "", Message(), None), id="an-error-of-the-server"),
    ],
)
def test_a_watch_that_is_cut_off_goes_on_where_it_was(cut: Exception) -> None:
    server = Scripted([[event("ADDED", "two", 12), cut], [event("DELETED", "two", 13)]])

    assert seen_by(server) == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "two")]
    assert server.asked == ["list", "10", "12"]


@pytest.mark.parametrize(
    "too_old",
    [
        pytest.param({"type": "ERROR", "object": {"code": 410}}, id="said-in-the-watch"),
        pytest.param(urllib.error.HTTPError(PATH, 410, "Gone", Message(), None), id="said-at-once"),
    ],
)
def test_a_version_that_is_too_old_is_followed_by_a_list_which_shows_what_went(too_old: Any) -> None:
    server = Scripted([[event("ADDED", "two", 11), too_old], [event("ADDED", "three", 12)]])

    assert seen_by(server) == [
        ("ADDED", "one"),
        ("ADDED", "two"),
        ("DELETED", "two"),
        ("ADDED", "one"),
        ("ADDED", "three"),
    ]
    assert server.asked == ["list", "10", "list", "10"]
