"""Pods that wait are asked for why: late enough, not too often, each pool once, and only by the leader."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobtide_controller.kube.inventory.causes import PODS_PER_PASS, SLOW_START_SECONDS, STUCK_SECONDS, Causes
from jobtide_controller.kube.inventory.parse import seconds_of
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.telemetry.events import RelistFailed
from tests.unit.kube.objects import CREATED, Clock, Events, pod, pool, refused
from tests.unit.kube.waiting import CREATING, MOUNT_FAILED, REFUSED_PROBE, RUNNING, STARTING, event, placed

BORN = seconds_of(CREATED)


@dataclass
class EventApi:
    """Answers every list of Events with these."""

    items: list = field(default_factory=list)
    refused: str = ""  # a namespace
    selectors: list = field(default_factory=list)

    async def request(self, method, path, *, query):
        namespace = path.removeprefix("/apis/events.k8s.io/v1/namespaces/").removesuffix("/events")
        assert (method, namespace in {"media", "crm"}) == ("GET", True)
        self.selectors.append(query["fieldSelector"])
        if self.refused == namespace:
            raise refused(403, "Forbidden")
        return {"items": self.items}


class World:
    def __init__(self, *pods, events=()):
        self.api, self.emitted, self.clock, self.leads = EventApi(list(events)), Events(), Clock(BORN), True
        self.inventory = Inventory(self.emitted)
        for ref in {(raw["metadata"]["namespace"], raw["metadata"]["labels"]["jobtide.dev/pool"]) for raw in pods}:
            made = pool(ref[1], uid=f"uid-{ref[1]}")
            made["metadata"]["namespace"] = ref[0]
            self.inventory.upsert_pool(made)
        for raw in pods:
            self.inventory.upsert_pod(raw)
        self.causes = Causes(self.api, self.inventory, self.emitted, leading=lambda: self.leads, wall_clock=self.clock)

    async def at(self, seconds):
        """One pass, so many seconds after the pods were created."""
        self.clock.now = BORN + seconds
        await self.causes.run_once()

    @property
    def pod(self):
        (only,) = self.inventory.fleet("uid-thumbs", frozenset()).pods
        return only


async def test_a_pod_that_starts_as_expected_is_not_asked_for():
    world = World(placed(CREATING))
    await world.at(4)
    assert world.api.selectors == []


async def test_its_events_are_the_only_ones_that_are_listed():
    world = World(placed(CREATING), events=[event("FailedMount", MOUNT_FAILED)])
    await world.at(5)
    assert world.api.selectors == ["regarding.uid=uid-thumbs-worker-a"]
    assert MOUNT_FAILED in world.pod.cause


async def test_a_cause_that_lasts_is_a_failure_after_twenty_seconds():
    world = World(placed(CREATING), events=[event("FailedMount", MOUNT_FAILED)])
    for seconds in range(0, 28, 2):
        await world.at(seconds)
        assert world.pod.stuck is (seconds >= STUCK_SECONDS)


async def test_a_slow_start_is_no_failure_for_a_minute():
    world = World(placed(STARTING), events=[event("Unhealthy", REFUSED_PROBE)])
    await world.at(SLOW_START_SECONDS - 1)
    assert REFUSED_PROBE in world.pod.cause
    assert not world.pod.stuck
    await world.at(SLOW_START_SECONDS)
    assert world.pod.stuck


async def test_a_pool_whose_workers_start_slowly_has_three_times_that():
    world = World(placed(STARTING), events=[event("Unhealthy", REFUSED_PROBE)])
    slow = pod("thumbs-worker-b", ready_at="2026-11-24T12:01:00Z")
    world.inventory.upsert_pod(slow)
    world.inventory.forget_pod(slow)
    await world.at(179)
    assert not world.pod.stuck
    await world.at(180)
    assert world.pod.stuck


async def test_a_pod_that_waits_long_is_asked_for_once_a_minute():
    world = World(placed(CREATING))
    for seconds in range(3600):
        await world.at(seconds)
    assert 60 < len(world.api.selectors) < 85


async def test_of_each_pool_one_pod_is_asked_for_and_of_many_pools_some():
    pods = [
        placed(
            CREATING, metadata={"name": f"{of}-{number}", "uid": f"{of}-{number}", "labels": {"jobtide.dev/pool": of}}
        )
        for of in map(str, range(100))
        for number in range(3)
    ]
    world = World(*pods)
    await world.at(5)
    assert len(world.api.selectors) == PODS_PER_PASS
    for number in range(1, 20):
        await world.at(5 + number / 10)
    assert len(set(world.api.selectors)) == 100, "no pool is left out"


def of_pool(name, namespace="media"):
    labels = {"jobtide.dev/pool": name}
    return placed(CREATING, metadata={"name": name, "uid": name, "namespace": namespace, "labels": labels})


async def test_a_namespace_with_a_thousand_broken_pools_delays_no_other():
    world = World(*(of_pool(str(number)) for number in range(1000)), of_pool("b", "crm"))
    for seconds in (5, 7.5):
        await world.at(seconds)
    assert "regarding.uid=b" in world.api.selectors


async def test_a_pod_that_only_claims_to_be_a_pools_is_not_asked_for():
    world = World(placed(CREATING))
    world.inventory.upsert_pod(of_pool("forged"))
    await world.at(5)
    assert world.api.selectors == ["regarding.uid=uid-thumbs-worker-a"]


async def test_only_the_leader_asks():
    world = World(placed(CREATING))
    world.leads = False
    await world.at(60)
    assert world.api.selectors == []


async def test_without_the_right_to_list_events_the_status_has_to_do_and_it_is_reported_once():
    world = World(placed(CREATING))
    world.api.refused = "media"
    for seconds in (5, 10, 20, 40):
        await world.at(seconds)
    assert "container worker waits: ContainerCreating" in world.pod.cause
    assert not world.pod.stuck
    assert [(failed.kind, failed.message) for failed in world.emitted.of(RelistFailed)] == [
        ("events", "Forbidden: refused with 403")
    ]


async def test_a_pod_that_comes_further_after_long_is_asked_for_soon_and_has_the_time_of_a_start():
    world = World(placed(CREATING), events=[event("FailedMount", MOUNT_FAILED)])
    for seconds in range(0, 600, 5):
        await world.at(seconds)
    started = {**STARTING, "state": {"running": {"startedAt": "2026-11-24T12:10:00Z"}}}
    world.inventory.upsert_pod(placed(started))
    world.api.items = [event("Unhealthy", REFUSED_PROBE)]
    await world.at(605)
    assert REFUSED_PROBE in world.pod.cause
    assert not world.pod.stuck


async def test_one_refused_namespace_is_reported_once_beside_another_that_is_not():
    other = {"name": "b", "uid": "b", "namespace": "crm", "labels": {"jobtide.dev/pool": "b"}}
    world = World(placed(CREATING), placed(CREATING, metadata=other))
    world.api.refused = "media"
    for seconds in (5, 10, 20, 40):
        await world.at(seconds)
    assert len(world.emitted.of(RelistFailed)) == 1


async def test_the_cause_goes_when_the_pod_comes_further_and_when_it_is_ready():
    world = World(placed(CREATING), events=[event("FailedMount", MOUNT_FAILED)])
    await world.at(30)
    assert world.pod.stuck
    world.inventory.upsert_pod(placed(CREATING))
    assert world.pod.stuck, "an update in which it still waits for the same changes nothing"
    world.inventory.upsert_pod(placed(STARTING))
    assert (world.pod.cause, world.pod.stuck) == (None, False)
    await world.at(60)
    world.inventory.upsert_pod(pod(ready_at="2026-11-24T12:01:00Z"))
    assert (world.pod.cause, world.pod.stuck) == (None, False)
    await world.at(90)
    assert world.pod.cause is None


async def test_a_new_cause_wakes_the_loop_and_the_same_one_does_not():
    world = World(placed(CREATING), events=[event("FailedMount", MOUNT_FAILED)])
    world.inventory.pools.take_changed("main")
    await world.at(5)
    assert world.inventory.pools.take_changed("main") == {"uid-thumbs"}
    await world.at(10)
    assert world.inventory.pools.take_changed("main") == set()


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "vanished from a list"])
async def test_a_pod_that_is_gone_is_not_asked_for(gone):
    raw = placed(CREATING)
    world = World(raw)
    if gone:
        world.inventory.forget_pod(raw)
    else:
        world.inventory.forget_absent_pods(set(), 10**9)
    await world.at(60)
    assert world.api.selectors == []


@pytest.fixture
def served():
    """served(code, headers, body) -> the port of a server that answers every request with this."""
    running = []

    def start(code, headers, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing: the test reads the cause."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


TEXT = {"Content-Type": "text/plain; charset=utf-8"}
PROBE_FAILED = "Readiness probe failed: HTTP probe failed with statuscode: 503"


@pytest.mark.parametrize(
    ("code", "headers", "body", "words"),
    [
        pytest.param(
            503, TEXT, b"it has no password\n", "its worker answers: it has no password;", id="a worker's words"
        ),
        pytest.param(503, TEXT, b"\x1b[2J" + b"x" * 10**6, "its worker answers: [2Jxxx", id="endless, with escapes"),
        pytest.param(302, {"Location": "http://127.0.0.1:1/"}, b"", PROBE_FAILED, id="a redirect is not followed"),
        pytest.param(503, {"Content-Type": "text/html"}, b"<b>", PROBE_FAILED, id="another server's page"),
        pytest.param(200, TEXT, b"ok\n", PROBE_FAILED, id="ready, which the kubelet has not noticed yet"),
        pytest.param(503, TEXT, b"", PROBE_FAILED, id="no words"),
    ],
)
async def test_a_running_worker_is_asked_itself(served, code, headers, body, words):
    port = served(code, headers, body)
    spec = {"containers": [{"name": "worker", "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}}}]}
    raw = placed(RUNNING, spec=spec)
    raw["status"]["podIP"] = "127.0.0.1"
    world = World(raw, events=[event("Unhealthy", PROBE_FAILED)])
    await world.at(5)
    assert words in world.pod.cause
    assert len(world.pod.cause) < 900


@pytest.fixture
def endless():
    """The port of a server that answers with interim responses until the client ends, and how many bytes it sent."""
    sent = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while sum(sent) < 200_000_000:
                sent.append(connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1_000))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    yield listener.getsockname()[1], sent
    listener.close()
    server.join(10)


async def test_of_an_answer_without_end_only_the_beginning_is_read(endless):
    port, sent = endless
    spec = {"containers": [{"name": "worker", "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}}}]}
    raw = placed(RUNNING, spec=spec)
    raw["status"]["podIP"] = "127.0.0.1"
    world = World(raw, events=[event("Unhealthy", PROBE_FAILED)])
    await world.at(5)
    assert PROBE_FAILED in world.pod.cause
    assert sum(sent) < 1_000_000  # what the buffers of two sockets hold
