"""The hostile namespace of `make chaos` against a real API server and controller, beside a pool with a promise."""

from __future__ import annotations

import pytest

from dev.chaos.hostile_namespace import NAMES, HostileNamespace, hostile_namespace
from dev.chaos.judge import judge_hostile_pools
from dev.stage.api import Api
from tests.cluster.controllers import replicas_of, until

ACTS = 6 * NAMES
PROMISE_SECONDS = 30


@pytest.fixture
def hostile(plane, kubectl):
    """Its pools are in a namespace of their own, and nothing of them stays."""
    namespace = f"{kubectl.namespace}-hostile"
    kubectl("create", "namespace", namespace)
    yield HostileNamespace(api=Api(plane.url, plane.credentials), namespace=namespace, seed=7)
    for kind in ("jobworkerpools", "deployments"):
        kubectl("delete", kind, "--all", "--wait=false", f"--namespace={namespace}")


def test_pools_are_made_changed_and_deleted_and_the_well_behaved_one_keeps_its_promise(
    hostile, controller, kubectl, pool, insert
):
    running = controller(JOBTIDE_NAMESPACES=f"{kubectl.namespace},{hostile.namespace}")
    assert kubectl.apply(pool("good", types=["good"], maxWaitSeconds=PROMISE_SECONDS)).returncode == 0
    until(lambda: replicas_of(kubectl, "good") == 0)
    for _ in range(ACTS // 2):
        hostile.act()
    insert(8, type_="good")
    until(lambda: replicas_of(kubectl, "good"), PROMISE_SECONDS)
    for _ in range(ACTS // 2):
        hostile.act()
    hostile.wait_for_conditions()
    assert list(judge_hostile_pools(hostile.writing)) == []
    assert min(hostile.writing.changed, hostile.writing.deleted) > 0
    assert hostile.writing.unanswered == 0
    seen = set(hostile.writing.reasons)
    assert {"Applied", "InvalidSpec"} <= seen
    # Conflict: of a pool that was deleted and made again, while the Deployment of the first one is still there.
    assert seen <= {"Applied", "InvalidSpec", "ApplyFailed", "Conflict", "DatabaseNotConfigured", "none yet"}
    assert "Traceback" not in running.words


def test_it_goes_on_while_the_api_server_is_down_until_it_is_stopped(plane, hostile):
    writing = hostile.writing
    with hostile_namespace(hostile):
        until(lambda: writing.created)
        plane.stop_apiserver()
        try:
            until(lambda: writing.unanswered)
        finally:
            plane.start_apiserver()
        before = writing.created
        until(lambda: writing.created > before)
    assert not hostile.is_running
