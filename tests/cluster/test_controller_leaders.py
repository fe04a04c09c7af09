"""Two controllers under load: the leader is killed, stopped, cut off or suspended, and the two never write at once."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.cluster.controllers import Controller, holder, replicas_of, until
from tests.cluster.faults import Fault, FaultProxy

POOLS = ("one", "two", "three")
TAKEOVER_SECONDS = 20.0  # 9 by the lease's times; machines that run tests stand still at times
LEASE_LEFT_SECONDS = 6.0  # so long a lease that is not released holds, at the least


@pytest.fixture
def load(server, jobs, kubectl, pool) -> Iterator[None]:
    """Jobs arrive all the time, and the pools need one more worker again and again."""
    for name in POOLS:
        kubectl.apply(pool(name, types=[name], maxReplicas=50, minReplicas=1))
    ended = threading.Event()
    worker = threading.Thread(target=_work, args=(server.dsn, kubectl, ended), name="load")
    worker.start()
    yield
    ended.set()
    worker.join()


def _work(dsn: str, kubectl: Any, ended: threading.Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute("INSERT INTO tenants (name) VALUES ('load') RETURNING id").fetchone()
        assert row is not None
        for number in itertools.count():
            if ended.wait(0.1):
                return
            name = POOLS[number % len(POOLS)]
            conn.execute("INSERT INTO job_queue (type, tenant_id, payload) VALUES (%s, %s, '{}')", [name, row[0]])
            patch = f'{{"spec":{{"minReplicas":{1 + number // 3 % 40}}}}}'
            kubectl("patch", "jobworkerpool", name, "--type=merge", "-p", patch)


@pytest.fixture
def pair(controller, proxy, kubectl, load) -> tuple[Controller, FaultProxy, Controller, FaultProxy]:
    """The leader and its proxy, the follower and its proxy."""
    ways = {name: proxy(name) for name in ("jobtide-0", "jobtide-1")}
    both = {name: controller(name, KUBECONFIG=str(way.kubeconfig)) for name, way in ways.items()}
    until(lambda: all(one.port and one.get("/readyz")[0] == 200 for one in both.values()))
    until(lambda: all((replicas_of(kubectl, name) or 0) >= 2 for name in POOLS))
    leader = holder(kubectl)
    follower = next(name for name in both if name != leader)
    return both[leader], ways[leader], both[follower], ways[follower]


def first_write(way: FaultProxy) -> float | None:
    return next((call.at for call in list(way.passed) if call.is_write), None)


def took_over(way: FaultProxy) -> float | None:
    return next((call.at for call, code in list(way.answered) if call.takes_lease and code < 300), None)


def scaled_by(way: FaultProxy) -> set[str]:
    return {name.removesuffix("-worker") for name, _ in way.scaled}


def late_answers(old: FaultProxy, new: FaultProxy) -> list[int]:
    """The API server's codes for replicas that the old leader's proxy delivered after the new leader took the lease."""
    taken_at = took_over(new) or 0.0
    return [code for call, code in list(old.answered) if call.replicas is not None and call.at > taken_at]


def assert_one_after_the_other(old: FaultProxy, new: FaultProxy) -> None:
    """No write of the old leader reached the API server once the new one had asked for the lease."""
    taken_at = took_over(new)
    assert taken_at is not None
    late = [call for call in list(old.passed) if call.is_write and call.at > taken_at]
    assert late == []


def assert_scaled_sensibly(*ways: FaultProxy) -> None:
    """All leaders together: never to zero and never down, because minReplicas and jobs only grow."""
    calls = sorted((call for way in ways for call in list(way.passed) if call.is_write), key=lambda call: call.at)
    for name in POOLS:
        numbers = [call.replicas for call in calls if call.replicas is not None and call.name == f"{name}-worker"]
        later = numbers[1:]
        assert 0 not in later
        assert later == sorted(later)


def test_a_killed_leader_is_replaced_by_the_other(pair, kubectl):
    first, first_way, _, second_way = pair
    first.stop(signal.SIGKILL)
    killed_at = time.monotonic()
    wrote_at = until(lambda: first_write(second_way))
    assert wrote_at - killed_at < TAKEOVER_SECONDS
    assert_one_after_the_other(first_way, second_way)
    assert_scaled_sensibly(first_way, second_way)


def test_a_leader_that_is_asked_to_stop_hands_over_before_its_lease_would_end(pair, kubectl):
    first, first_way, _, second_way = pair
    asked_at = time.monotonic()
    assert first.stop() == 0
    wrote_at = until(lambda: first_write(second_way))
    assert wrote_at - asked_at < LEASE_LEFT_SECONDS
    assert_one_after_the_other(first_way, second_way)
    assert_scaled_sensibly(first_way, second_way)


def test_a_leader_that_is_cut_off_stops_before_another_starts(pair):
    first, first_way, _, second_way = pair
    with first_way.fault(Fault(holds=True)):
        until(lambda: scaled_by(second_way) == set(POOLS))
    until(lambda: "not leading" in first.words)
    assert_one_after_the_other(first_way, second_way)
    assert_scaled_sensibly(first_way, second_way)
    assert first.is_running


def test_writes_of_a_former_leader_that_a_proxy_delivers_late_are_refused(pair):
    first, first_way, _, second_way = pair
    # Its watch goes on, so that it has writes to send.
    with first_way.fault(Fault(on=lambda call: not call.is_watch, holds=True, lands_late=True)):
        until(lambda: scaled_by(second_way) == set(POOLS))
    kept = [call for call in first_way.spoilt if call.replicas is not None]
    assert kept
    until(lambda: len(late_answers(first_way, second_way)) >= len(kept))
    assert set(late_answers(first_way, second_way)) == {409}
    assert_scaled_sensibly(second_way)
    assert first.is_running


def test_a_leader_that_was_suspended_too_long_writes_nothing_when_it_continues(pair):
    first, first_way, _, second_way = pair
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    until(lambda: first_write(second_way))
    first.process.send_signal(signal.SIGCONT)
    until(lambda: "not leading" in first.words)
    assert_one_after_the_other(first_way, second_way)
    assert_scaled_sensibly(first_way, second_way)
    assert first.is_running
