"""A watch misses no version between two lists, however often it is cut off, and an event is waited for."""

from __future__ import annotations

import json
import shlex
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from dev.machine.errors import DevError
from dev.machine.wait import wait_until
from dev.stage.kubectl import Kubectl
from dev.stage.watch import EventLog, KubectlSource, Watch

PATH = "/api/v1/pods"


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}


def event(type_: str, name: str, version: int) -> dict[str, Any]:
    return {"type": type_, "object": item(name, version)}


@dataclass(slots=True)
class Scripted:
    """An API server with one list, and the events of each watch before it ends; an exception is raised in its place."""

    watches: list[list[dict[str, Any] | Exception]]
    asked: list[str] = field(default_factory=list)

    def get(self, path: str) -> Any:
        self.asked.append("list")
        return {"metadata": {"resourceVersion": "10"}, "items": [item("one", 9)]}

    def lines(self, path: str) -> Iterator[Any]:
        self.asked.append(path.rpartition("resourceVersion=")[2])
        for line in self.watches.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line

    def close(self) -> None:
        pass


def seen_by(server: Scripted) -> list[tuple[str, str]]:
    """The events of all watches that the server has."""
    seen: list[tuple[str, str]] = []
    watch = Watch(server, PATH, lambda event: seen.append((event.type, event.name)))
    while server.watches:
        watch.run_once()
    return seen


def test_a_watch_that_ends_resumes_where_it_was() -> None:
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
def test_a_watch_that_is_cut_off_resumes_where_it_was(cut: Exception) -> None:
    server = Scripted([[event("ADDED", "two", 12), cut], [event("DELETED", "two", 13)]])

    assert seen_by(server) == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "two")]
    assert server.asked == ["list", "10", "12"]


@pytest.mark.parametrize(
    "too_old",
    [
        pytest.param({"type": "ERROR", "object": {"code": 410}}, id="in-the-watch"),
        pytest.param(urllib.error.HTTPError(PATH, 410, "Gone", Message(), None), id="at-once"),
    ],
)
def test_a_version_that_is_too_old_leads_to_a_list_that_shows_what_was_deleted(too_old: Any) -> None:
    server = Scripted([[event("ADDED", "two", 11), too_old], [event("ADDED", "three", 12)]])

    assert seen_by(server) == [
        ("ADDED", "one"),
        ("ADDED", "two"),
        ("DELETED", "two"),
        ("ADDED", "one"),
        ("ADDED", "three"),
    ]
    assert server.asked == ["list", "10", "list", "10"]


KUBECTL = """#!/bin/sh
# A list, and then one watch after the other; each request is noted where the kubeconfig would be.
echo "$5" >> "$2"
case "$5" in
*watch=true*) {watch} ;;
*) echo {listed} ;;
esac
"""


@pytest.fixture
def log_of(tmp_path: Path) -> Any:
    """An EventLog through a kubectl that answers a watch by this script."""

    def make(watch: str) -> EventLog:
        listed = {"metadata": {"resourceVersion": "10"}, "items": [item("one", 9)]}
        program = tmp_path / "kubectl"
        program.write_text(KUBECTL.format(watch=watch, listed=shlex.quote(json.dumps(listed))))
        program.chmod(0o755)
        return EventLog(KubectlSource(Kubectl(program, tmp_path / "asked")), PATH, labelSelector="a=b")

    return make


def prints(*events: dict[str, Any]) -> str:
    return "; ".join(f"echo {shlex.quote(json.dumps(each))}" for each in events)


def test_kubectl_shows_the_events_with_the_time_of_their_arrival(log_of: Any) -> None:
    with log_of(f"{prints(event('ADDED', 'two', 11))}; exec sleep 600") as log:
        found = log.first("the second pod", lambda event: event.name == "two", within_seconds=10)

        assert [seen.name for seen in log.events] == ["one", "two"]
        assert log.events[0].at <= found.at


def test_a_kubectl_that_ends_is_started_again_at_the_last_version(log_of: Any, tmp_path: Path) -> None:
    with log_of(f"{prints(event('MODIFIED', 'one', 11))}; echo cut off >&2; exit 1"):
        asked = wait_until(
            "a second watch", lambda: [line for line in lines(tmp_path) if "Version=11" in line], within_seconds=10
        )

    assert asked[0].startswith(f"{PATH}?labelSelector=a%3Db&watch=true")
    assert lists(tmp_path) == 1


def test_a_kubectl_that_finds_the_version_too_old_lists_again(log_of: Any, tmp_path: Path) -> None:
    refusal = "Error from server (Expired): too old resource version: 10 (99)"
    with log_of(f"echo '{refusal}' >&2; exit 1"):
        wait_until("a second list", lambda: lists(tmp_path) > 1, within_seconds=10)


def test_an_event_that_does_not_come_is_named_with_what_came_and_why_no_more_comes(log_of: Any) -> None:
    with log_of("echo 'connection refused' >&2; exit 1") as log, pytest.raises(DevError) as missed:
        log.first("the second pod", lambda event: event.name == "two", within_seconds=1)

    came = f"waited 1 s for the second pod, without success: 1 ADDED at {PATH}, the last one of one"
    assert str(missed.value) == f"{came}; the watch is cut off: kubectl ended: connection refused"


def test_no_program_is_left_after_the_end(log_of: Any, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with log_of(f"echo $$ > {pid}; exec sleep 600"):
        wait_until("the watch", lambda: pid.exists() and pid.read_text().strip(), within_seconds=10)

    process = Path("/proc", pid.read_text().strip())
    wait_until("the end of kubectl", lambda: not process.exists(), within_seconds=10)


def test_an_api_server_that_gives_no_list_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dev.stage.watch.LISTED_WITHIN_SECONDS", 0.5)
    source = KubectlSource(Kubectl(Path("/bin/false"), tmp_path / "kubeconfig"))

    with pytest.raises(DevError, match=f"{PATH} could not be listed within 0.5 s: .*exit code 1"):
        EventLog(source, PATH).__enter__()


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


def lists(tmp_path: Path) -> int:
    return sum("watch" not in line for line in lines(tmp_path))
