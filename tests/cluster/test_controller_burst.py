"""Many pools need workers at once: scale-ups come first, a busy API server is left alone, nothing else starves."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest

from jobtide_controller.kube.write.window import LEAST, MOST
from tests.cluster.controllers import Controller, until
from tests.cluster.faults import Call, Fault, FaultProxy

STEPS_DOWN = "not leading"
HOLD_SECONDS = 5.0  # a leader that renewed its lease no later than this ago may write


def writes(call: Call) -> bool:
    return call.is_write


def is_scale_up(call: Call) -> bool:
    return bool(call.replicas)


def is_status(call: Call) -> bool:
    return call.path.endswith("/status")


@pytest.fixture
def steady(kubectl, pool, proxy, controller):
    """A controller behind a proxy, and so many pools without jobs, whose first writes are done."""

    def start(count: int) -> tuple[Controller, FaultProxy, list[str]]:
        names = [f"pool-{number}" for number in range(count)]
        items = [pool(name, types=[name]) for name in names]
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        way = proxy("jobtide-0")
        running = controller(KUBECONFIG=str(way.kubeconfig))
        until(lambda: is_settled(kubectl, count), 120)
        return running, way, names

    return start


def is_settled(kubectl: Any, count: int) -> bool:
    found = json.loads(kubectl("get", "jobworkerpools", "-o", "json"))["items"]
    ready = [one for one in found if conditions_of(one).get("Ready", {}).get("status") == "True"]
    return len(ready) == count


def conditions_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in found.get("status", {}).get("conditions", ())}


def waves(calls: list[Call]) -> list[list[Call]]:
    """Calls that came together; between two waves was a pause."""
    found: list[list[Call]] = []
    for call in calls:
        if not found or call.at - found[-1][-1].at > 0.5:
            found.append([])
        found[-1].append(call)
    return found


class Probes:
    """Asks like the kubelet, and keeps the answers."""

    def __init__(self, running: Controller) -> None:
        self.codes: list[int] = []
        self._running = running
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(0.05):
            for path in ("/healthz", "/readyz"):
                self.codes.append(self._running.get(path)[0])


def longest_pause(calls: Iterator[Call]) -> float:
    return max(after.at - before.at for before, after in itertools.pairwise(calls))


def test_scale_ups_come_before_all_statuses_and_lease_and_probes_do_not_wait(steady, jobs, insert):
    running, way, names = steady(150)
    begun = len(way.passed)
    with Probes(running) as probes:
        with jobs.transaction():
            for name in names:
                insert(8, type_=name)
        until(lambda: {f"{name}-worker" for name in names} <= {name for name, number in way.scaled if number}, 120)
        until(lambda: {call.path for call in way.passed[begun:] if is_status(call)} >= paths_of(way, names), 120)
    calls = way.passed[begun:]
    last_number = max(place for place, call in enumerate(calls) if is_scale_up(call))
    before_it = [call.path for call in calls[:last_number] if is_status(call)]
    assert len(before_it) < len(names) / 10, "a status of before may still be on its way"
    assert longest_pause(call for call in way.passed if call.is_lease) < HOLD_SECONDS
    assert STEPS_DOWN not in running.words
    assert set(probes.codes) == {200}


def paths_of(way: FaultProxy, names: list[str]) -> set[str]:
    """The paths of these pools' statuses."""
    some = next(call.path for call in way.passed if is_status(call))
    collection = some.removesuffix("/status").rpartition("/")[0]
    return {f"{collection}/{name}/status" for name in names}


def test_a_busy_api_server_is_left_alone_for_as_long_as_it_asks(steady, jobs, insert, kubectl):
    running, way, names = steady(60)
    with way.fault(Fault(on=writes, code=429, retry_after_seconds=1)):
        with jobs.transaction():
            for name in names:
                insert(8, type_=name)
        until(lambda: len(waves(way.spoilt)) >= 3)
    refused = waves(way.spoilt)[:3]
    assert len(refused[0]) <= MOST
    assert LEAST <= len(refused[2]) <= max(LEAST, MOST // 4)
    assert all(after[0].at - before[-1].at > 0.9 for before, after in itertools.pairwise(refused))
    until(lambda: {f"{name}-worker" for name in names} <= {name for name, number in way.scaled if number}, 120)
    assert STEPS_DOWN not in running.words
    found = json.loads(kubectl("get", "jobworkerpools", "-o", "json"))["items"]
    assert {conditions_of(one)["Ready"]["status"] for one in found} == {"True"}, "no fault of the pools"
