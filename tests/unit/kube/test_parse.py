from __future__ import annotations

import pytest

from jobtide_controller.decide.fleet import Rollout
from jobtide_controller.kube.inventory.parse import deployment_of, fingerprint, gone_of, owner_words, pod_of
from tests.unit.kube.objects import deployment, pod


def container(**state):
    return [{"name": "worker", "state": state}]


def test_a_running_ready_pod():
    parsed = pod_of(pod("a", ready_at="2026-11-24T12:00:04Z"))
    assert (parsed.ready, parsed.finished, parsed.terminating, parsed.problem) == (True, False, False, None)
    assert parsed.gone_by is None
    assert parsed.ready_at - parsed.created_at == 4


def test_a_pod_that_is_stopped_has_a_time_by_which_it_is_gone():
    parsed = pod_of(pod(metadata={"deletionTimestamp": "2026-11-24T12:10:00Z", "deletionGracePeriodSeconds": 300}))
    assert (parsed.terminating, parsed.gone_by) == (True, parsed.created_at + 600)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(
            pod(containerStatuses=container(waiting={"reason": "ImagePullBackOff", "message": "no such image"})),
            "ImagePullBackOff: pod thumbs-worker-a: no such image; "
            "correct the image or imagePullSecrets in spec.template",
            id="image",
        ),
        pytest.param(
            pod(
                containerStatuses=[
                    {
                        "name": "worker",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                        "lastState": {
                            "terminated": {"exitCode": 1, "reason": "Error", "message": "a log line\njobtide: no URL\n"}
                        },
                    }
                ]
            ),
            "CrashLoopBackOff: pod thumbs-worker-a: container worker exited with 1 (Error): jobtide: no URL; "
            "kubectl logs --namespace media thumbs-worker-a --container worker --previous shows more",
            id="crash loop, with its last line",
        ),
        pytest.param(
            pod(
                phase="Pending",
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ],
            ),
            "Unschedulable: pod thumbs-worker-a: 0/1 nodes; add nodes, "
            "or change what the pod asks for in spec.template: resources.requests, nodeSelector, affinity, tolerations",
            id="unschedulable",
        ),
        pytest.param(pod(containerStatuses=container(waiting={"reason": "ContainerCreating"})), None, id="creating"),
    ],
)
def test_what_keeps_a_pod_from_running_is_reported(raw, problem):
    assert pod_of(raw).problem == problem


@pytest.mark.parametrize(
    ("ready", "restarts", "is_loop"),
    [
        pytest.param(False, 2, True, id="running again, not ready yet"),
        pytest.param(True, 2, False, id="ready"),
        pytest.param(False, 1, False, id="one restart may be chance"),
    ],
)
def test_a_crash_loop_stays_a_crash_loop_between_its_pauses(ready, restarts, is_loop):
    container = {
        "name": "worker",
        "ready": ready,
        "restartCount": restarts,
        "state": {"running": {"startedAt": "2026-11-24T12:00:00Z"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    problem = pod_of(pod(containerStatuses=[container])).problem
    assert (problem is not None) is is_loop
    assert not is_loop or problem.startswith("CrashLoopBackOff: pod thumbs-worker-a: container worker exited with 1")


@pytest.mark.parametrize(
    ("cost", "parsed"), [("-1000", -1000), ("5", 5), ("many", 0), ("", 0), ("--5", 0), ("1" * 5000, 0)]
)
def test_an_invalid_deletion_cost_is_zero(cost, parsed):
    raw = pod(metadata={"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}})
    assert pod_of(raw).deletion_cost == parsed


ASKED = {"deletionTimestamp": "2026-11-24T12:10:00Z", "deletionGracePeriodSeconds": 300}  # asked at 12:05:00


@pytest.mark.parametrize(
    ("raw", "gives_back"),
    [
        pytest.param(pod(), True, id="vanished"),
        pytest.param(pod(metadata=ASKED), True, id="deleted"),
        pytest.param(
            pod(
                metadata=ASKED,
                containerStatuses=container(terminated={"exitCode": 137, "finishedAt": "2026-11-24T12:10:01Z"}),
            ),
            True,
            id="killed at the end of its grace period",
        ),
        pytest.param(
            pod(
                metadata=ASKED,
                containerStatuses=container(terminated={"exitCode": 139, "finishedAt": "2026-11-24T12:04:59Z"}),
            ),
            False,
            id="crashed before it was deleted",
        ),
        pytest.param(
            pod(
                phase="Failed",
                containerStatuses=container(terminated={"exitCode": 1, "finishedAt": "2026-11-24T12:01:00Z"}),
            ),
            False,
            id="failed by itself",
        ),
        pytest.param(
            pod(
                phase="Failed",
                reason="Evicted",
                containerStatuses=container(terminated={"exitCode": 137, "finishedAt": "2026-11-24T12:01:00Z"}),
            ),
            True,
            id="evicted",
        ),
        pytest.param(
            pod(
                phase="Failed",
                conditions=[{"type": "DisruptionTarget", "status": "True"}],
                containerStatuses=container(terminated={"exitCode": 137, "finishedAt": "2026-11-24T12:01:00Z"}),
            ),
            True,
            id="disrupted",
        ),
        pytest.param(
            pod(metadata=ASKED, containerStatuses=container(waiting={"reason": "CrashLoopBackOff"})),
            False,
            id="deleted in a crash loop",
        ),
        pytest.param(
            pod(
                metadata=ASKED,
                containerStatuses=[
                    {
                        "name": "sidecar",
                        "state": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-24T12:01:00Z"}},
                    }
                ],
            ),
            True,
            id="only a sidecar crashed",
        ),
    ],
)
def test_a_lost_pod_costs_an_attempt_only_if_its_worker_crashed(raw, gives_back):
    assert gone_of(raw).gives_back is gives_back


def test_a_deployment_that_no_pool_controls_is_ignored():
    assert deployment_of(deployment(owner="")) is None


@pytest.mark.parametrize(
    ("managers", "template_applied", "scale_owns_template"),
    [
        pytest.param({}, False, False, id="nothing applied"),
        pytest.param({"jobtide-scale": {"f:spec": {"f:replicas": {}, "f:template": {}}}}, False, True, id="created"),
        pytest.param(
            {
                "jobtide-scale": {"f:spec": {"f:replicas": {}, "f:template": {}}},
                "jobtide-template": {"f:spec": {"f:template": {}}},
            },
            True,
            True,
            id="template taken over",
        ),
        pytest.param(
            {"jobtide-scale": {"f:spec": {"f:replicas": {}}}, "jobtide-template": {"f:spec": {"f:template": {}}}},
            True,
            False,
            id="handed over",
        ),
    ],
)
def test_field_ownership_shows_how_far_the_creation_of_a_deployment_got(
    managers, template_applied, scale_owns_template
):
    parsed = deployment_of(deployment(managers=managers))
    assert (parsed.template_applied, parsed.scale_owns_template) == (template_applied, scale_owns_template)
    assert parsed.scale_owns_replicas == ("jobtide-scale" in managers)


def test_the_number_may_be_owned_through_the_scale_subresource():
    raw = deployment(managers={"jobtide-template": {"f:spec": {"f:template": {}}}})
    assert not deployment_of(raw).scale_owns_replicas
    fields = {"f:spec": {"f:replicas": {}}}
    entry = {"manager": "jobtide-scale", "operation": "Apply", "subresource": "scale", "fieldsV1": fields}
    raw["metadata"]["managedFields"].append(entry)
    parsed = deployment_of(raw)
    assert (parsed.scale_owns_replicas, parsed.scale_owns_template) == (True, False)


def test_the_fingerprint_is_of_everything_but_the_replicas():
    one, three = deployment_of(deployment(replicas=1)), deployment_of(deployment(replicas=3))
    other = deployment_of(deployment(paused=True))
    assert one.fingerprint == three.fingerprint != other.fingerprint


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_a_rollout_is_complete_when_the_newest_template_runs_everywhere():
    raw = deployment()
    raw["metadata"]["generation"] = 2
    raw["status"] = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3}
    assert deployment_of(raw).rollout == Rollout()
    raw["status"]["updatedReplicas"] = 2
    assert not deployment_of(raw).rollout.complete
    raw["status"] = {"observedGeneration": 1}
    assert not deployment_of(raw).rollout.complete


def test_what_stops_a_rollout_is_kept():
    raw = deployment()
    raw["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
    ]
    rollout = deployment_of(raw).rollout
    assert (rollout.deadline_exceeded, rollout.replica_failure) == (True, "exceeded quota")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (deployment(owner="", managers={"kubectl": {}}), "made by kubectl"),
        (deployment(owner="", managers={}), "made by another client"),
        (deployment(owner="x"), "controlled by JobWorkerPool thumbs"),
    ],
    ids=["manager", "unknown manager", "controller"],
)
def test_the_owner_of_an_object_is_named(raw, words):
    assert owner_words(raw) == words
