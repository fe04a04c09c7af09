"""Pools of the API server's whole grammar, and a pool beside them whose jobs start within its promise all the same."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.stage.hostile_pools import hostile_pools
from jobtide_controller.kube.api.bounded_json import parse
from tests.cluster.controllers import condition, replicas_of, until

POOLS = 80
# The API server compares the faults of a list's items with each other: 20,000 of them take it half a minute.
MOST_ITEMS = 2_000
WIDE_ITEMS = (20_000, 60_000)  # without a fault: a template below the controller's limit, and one above it
PROMISE_SECONDS = 30
CREATED = 201
ANSWER_SECONDS = 60  # longer than the 34 s after which the API server itself ends a request
MEMORY_MIB = 512  # the chart's limit


@pytest.fixture(autouse=True)
def emptied(kubectl: Any) -> Iterator[None]:
    """Nothing of a test stays in the API server, which others use too. Set up first, so after the controllers' end."""
    yield
    for kind in ("jobworkerpools", "deployments"):
        kubectl("delete", kind, "--all", "--wait=false")
        left = kubectl("get", kind, "--output=name")
        assert not left, f"the test leaves {left}"


@pytest.fixture
def post(kubectl: Any) -> Iterator[Any]:
    """Sends a pool's text as it is; kubectl itself would not parse it."""
    command = [str(kubectl.binary), f"--kubeconfig={kubectl.kubeconfig}", "proxy", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    path = f"/apis/jobtide.dev/v1alpha1/namespaces/{kubectl.namespace}/jobworkerpools"

    def send(body: str, *, apply: str | None = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        method, where = ("POST", path) if apply is None else ("PATCH", f"{path}/{apply}?fieldManager=me")
        kind = "application/json" if apply is None else "application/apply-patch+yaml"
        try:
            connection.request(method, where, body.encode(), {"Content-Type": kind})
            with connection.getresponse() as answer:
                answer.read()
                return answer.status
        finally:
            connection.close()

    yield send
    process.terminate()
    process.wait(10)
    process.stdout.close()


def memory_mib(controller: Any) -> int:
    lines = Path(f"/proc/{controller.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def pools_of(kubectl: Any) -> dict[str, Any]:
    """Parsed as the controller does: some are nested ten thousand levels deep."""
    path = f"/apis/jobtide.dev/v1alpha1/namespaces/{kubectl.namespace}/jobworkerpools"
    found = parse(kubectl("get", "--raw", path).encode())
    return {item["metadata"]["name"]: item for item in found["items"]}


def ready_of(found: Any) -> dict[str, Any]:
    conditions = found.get("status", {}).get("conditions", ())
    return next((one for one in conditions if one["type"] == "Ready"), {})


def wide(pool: Any, items: int) -> str:
    """A pool with so many empty objects in a field of its template that only Kubernetes knows."""
    body = json.dumps(pool(f"wide-{items}")).replace('"spec": {"containers"', '"spec": {"x": @, "containers"')
    return body.replace("@", f"[{','.join(['{}'] * items)}]")


def test_whatever_pools_hold_each_says_so_and_the_well_behaved_one_keeps_its_promise(
    controller, kubectl, pool, insert, post
):
    running = controller()
    assert kubectl.apply(pool("good", types=["good"], maxWaitSeconds=PROMISE_SECONDS)).returncode == 0
    until(lambda: replicas_of(kubectl, "good") == 0)
    accepted = {name for name, body in hostile_pools(POOLS, seed=7, most_items=MOST_ITEMS) if post(body) == CREATED}
    for items in WIDE_ITEMS:
        assert post(wide(pool, items)) == CREATED
    insert(8, type_="good")
    until(lambda: replicas_of(kubectl, "good"), PROMISE_SECONDS)
    mains = {name for name, found in pools_of(kubectl).items() if found["spec"]["database"] == "main"}
    until(lambda: all(ready_of(pools_of(kubectl)[name]) for name in mains))
    reasons = {name: ready_of(found).get("reason") for name, found in pools_of(kubectl).items() if name in mains}
    assert set(reasons.values()) <= {"Applied", "InvalidSpec", "ApplyFailed"}
    assert POOLS / 10 < len(accepted) < POOLS
    assert "InvalidSpec" in reasons.values()
    assert reasons[f"wide-{max(WIDE_ITEMS)}"] == "InvalidSpec"
    assert "Traceback" not in running.words
    assert memory_mib(running) < MEMORY_MIB
    assert running.stop() == 0
    successor = controller("jobtide-1")
    insert(400, type_="good")
    until(lambda: (replicas_of(kubectl, "good") or 0) > 2)
    assert memory_mib(successor) < MEMORY_MIB


@pytest.mark.parametrize("levels", [255, 1_100, 9_000])
def test_a_template_that_is_nested_too_deeply_is_its_pools_condition(controller, kubectl, pool, post, levels):
    deep = json.dumps(pool("deep")).replace('"spec": {"containers"', '"metadata": {"x": @}, "spec": {"containers"')
    assert post(deep.replace("@", '{"a":' * levels + "1" + "}" * levels)) == CREATED
    running = controller()
    ready = until(lambda: ready_of(pools_of(kubectl)["deep"]))
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "levels deep; at most 64" in ready["message"]
    assert kubectl.apply(pool("good", minReplicas=1)).returncode == 0
    until(lambda: replicas_of(kubectl, "good") == 1)
    kubectl("delete", "jobworkerpool", "deep")
    assert running.is_running


@pytest.mark.parametrize(
    "text", ["\U0001f600", "\u2028\x85\x7f", "a$$b", "$(JOBTIDE_POOL)", "\x1b[31m", "\ufeff"], ids=ascii
)
def test_every_text_that_a_type_may_have_reaches_deployment_and_status(controller, kubectl, pool, post, text):
    env = [{"name": "A", "value": text}]
    template = {
        "metadata": {"annotations": {"a": text}},
        "spec": {"containers": [{"name": "worker", "image": "acme/jobs:1", "env": env}]},
    }
    assert post(json.dumps(pool(types=[f"a{text}b"], template=template, minReplicas=1))) == CREATED
    controller()
    until(lambda: replicas_of(kubectl) == 1)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    status = kubectl.get("jobworkerpool", "thumbs")["status"]
    assert [one["type"] for one in status["types"]] == [f"a{text}b"]
    made = kubectl.get("deployment", "thumbs-worker")["spec"]["template"]
    values = {one["name"]: one.get("value") for one in made["spec"]["containers"][0]["env"]}
    assert (values["A"], made["metadata"]["annotations"]["a"]) == (text, text)
    assert json.loads(values["JOBTIDE_TYPES"].replace("$$", "$")) == [f"a{text}b"]


NULLS = ("env", "ports", "volumeMounts", "securityContext", "args", "resources", "livenessProbe")


def test_null_by_server_side_apply_is_an_empty_list_as_in_any_deployment(controller, kubectl, pool, post):
    worker = {"name": "worker", "image": "acme/jobs:1", **dict.fromkeys(NULLS)}
    spec = {"containers": [worker, {"name": "b", "image": "b", "volumeMounts": None}], "volumes": None}
    manifest = pool(minReplicas=1, template={"spec": {**spec, "securityContext": None}})
    assert post(json.dumps(manifest), apply="thumbs") == CREATED
    controller()
    until(lambda: replicas_of(kubectl) == 1)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")


def test_pools_that_are_made_at_once_all_show_their_first_decision(controller, kubectl, pool, post):
    running = controller()
    names = [f"p{number}" for number in range(12)]
    for name in names:
        assert post(json.dumps(pool(name, types=[name], minReplicas=1))) == CREATED
    until(lambda: all(replicas_of(kubectl, name) == 1 for name in names))
    until(lambda: all(ready_of(found).get("status") == "True" for found in pools_of(kubectl).values()))
    decided = {name: found["status"]["decisions"] for name, found in pools_of(kubectl).items()}
    assert {name: [one["replicas"] for one in made] for name, made in decided.items()} == {name: [1] for name in names}
    assert "ApplyFailed" not in running.words
