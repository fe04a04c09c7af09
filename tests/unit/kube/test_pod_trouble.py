"""Each cause that keeps a pod from becoming ready is named in Kubernetes' or the worker's words, with the next step."""

from __future__ import annotations

import pytest

from jobtide_controller.kube.inventory.parse import pod_of
from jobtide_controller.kube.inventory.pod_trouble import Stage, cause_of, seconds_of, wait_of
from tests.unit.kube.objects import CREATED, pod
from tests.unit.kube.waiting import (
    CREATING,
    KEY_MISSING,
    MOUNT_FAILED,
    REFUSED_PROBE,
    RUNNING,
    SANDBOX_ENDED,
    SANDBOX_KILLED,
    SCHEDULED,
    STARTING,
    UNREADY,
    event,
    placed,
    unplaced,
)

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
PULLING = event("Pulling", 'Pulling image "acme/jobs:1"', at="2026-11-24T12:00:12Z", kind="Normal")
KILLED = event("Killing", "Container worker failed startup probe", at="2026-11-24T12:02:00Z", kind="Normal")


@pytest.mark.parametrize(
    ("raw", "events", "answer", "words"),
    [
        pytest.param(
            placed(CREATING), [event("FailedMount", MOUNT_FAILED)], None,
            [f"FailedMount: pod thumbs-worker-a: {MOUNT_FAILED}", "create that Secret", "spec.databaseSecret"],
            id="no Secret",
        ),
        pytest.param(
            placed(CREATING), [event("FailedMount", KEY_MISSING)], None,
            ["references non-existent secret key: url", "add that key to the Secret"],
            id="no key in the Secret",
        ),
        pytest.param(
            placed(CREATING), [event("FailedCreatePodSandBox", SANDBOX_KILLED)], None,
            ["OOMKilled: pod", "memory limit too low?", "raise resources.limits.memory"],
            id="a memory limit that the sandbox does not fit in",
        ),
        *(
            pytest.param(
                placed(CREATING), [event("FailedCreatePodSandBox", killed)], None,
                ["FailedCreatePodSandBox: pod", killed, "mostly a low memory limit", "raise resources.limits.memory"],
                id=f"the same, in other words: {killed[-30:]}",
            )
            for killed in SANDBOX_ENDED
        ),
        pytest.param(
            placed(CREATING), [event("FailedCreatePodSandBox", "plugin type=cni failed")], None,
            ["FailedCreatePodSandBox: pod", "cni failed", "kubectl describe pod --namespace media thumbs-worker-a"],
            id="no network",
        ),
        pytest.param(
            placed(STARTING), [event("Unhealthy", REFUSED_PROBE), KILLED], None,
            ["NotAnswering: pod", REFUSED_PROBE, "its command must be `jobtide worker`", "kubectl logs"],
            id="a command that is no worker",
        ),
        pytest.param(
            placed(RUNNING), [event("Unhealthy", "Readiness probe failed: statuscode: 503")],
            'the database did not answer the last poll: password authentication failed for user "w"',
            ["NotReady: pod", "its worker answers: the database did not", "password authentication", "databaseSecret"],
            id="a wrong password, in the worker's words",
        ),
        pytest.param(
            placed(RUNNING), [event("Unhealthy", "Readiness probe failed: statuscode: 503")], None,
            ["NotReady: pod", "statuscode: 503", "spec.databaseSecret", "--container worker shows more"],
            id="a wrong password, where the worker can't be asked",
        ),
        pytest.param(
            unplaced(schedulerName="missing"), [], None,
            ["NotScheduled: pod", "scheduler missing has not chosen a node", "remove schedulerName from spec.template"],
            id="no such scheduler",
        ),
        pytest.param(
            unplaced(GATED, schedulingGates=[{"name": "acme.dev/quota"}]), [], None,
            ["SchedulingGated: pod", "Scheduling is blocked", "(acme.dev/quota)", "remove schedulingGates"],
            id="scheduling gates",
        ),
        pytest.param(
            {**pod(phase="Pending"), "spec": {"nodeName": "gone-1"}}, [], None,
            ["NodeNotReady: pod", "node gone-1 has not started it", "kubectl get node gone-1", "remove nodeName"],
            id="a node that does not exist",
        ),
    ],
)  # fmt: skip
def test_the_cause_is_named_with_the_next_step(raw, events, answer, words):
    assert pod_of(raw).problem is None, "the status does not say it"
    cause, is_failure = cause_of(wait_of(raw), events, answer)
    assert is_failure
    assert "pod thumbs-worker-a" in cause
    for word in words:
        assert word in cause


def test_a_node_that_a_scheduler_chose_is_not_the_templates():
    down = {**pod(phase="Pending", conditions=[SCHEDULED]), "spec": {"nodeName": "node-1"}}
    cause, _ = cause_of(wait_of(down), [event("Scheduled", "Successfully assigned", kind="Normal")], None)
    assert "the kubelet of node node-1 has not started it" in cause
    assert "remove nodeName" not in cause


def test_a_pod_that_pulls_its_image_has_no_failure_even_after_one():
    cause, is_failure = cause_of(wait_of(placed(CREATING)), [event("FailedMount", MOUNT_FAILED), PULLING], None)
    assert not is_failure
    assert 'Pulling image "acme/jobs:1"' in cause


def test_of_two_events_in_one_second_the_warning_counts():
    pulled = event("Pulled", "already present", at="2026-11-24T12:00:10Z", kind="Normal")
    assert "FailedMount" in cause_of(wait_of(placed(CREATING)), [pulled, event("FailedMount", MOUNT_FAILED)], None)[0]


def test_a_sidecar_that_is_not_ready_is_named_instead_of_the_worker():
    raw = placed({**RUNNING, "ready": True})
    raw["status"]["containerStatuses"].append({"name": "proxy", "ready": False, "state": {"running": {}}})
    cause, _ = cause_of(wait_of(raw), [], None)
    assert "container proxy is not ready" in cause
    assert "databaseSecret" not in cause


def test_a_readiness_gate_is_named():
    raw = placed({**RUNNING, "ready": True})
    words = 'the status of pod readiness gate "acme.dev/x" is not "True"'
    raw["status"]["conditions"][1] = {**UNREADY, "reason": "ReadinessGatesNotReady", "message": words}
    assert 'readiness gate "acme.dev/x"' in cause_of(wait_of(raw), [], None)[0]


def test_an_init_container_that_does_not_end_is_named():
    raw = placed(CREATING, initContainerStatuses=[{"name": "migrate", "state": {"running": {"startedAt": CREATED}}}])
    assert "init container migrate has not ended" in cause_of(wait_of(raw), [], None)[0]


@pytest.mark.parametrize(
    ("container", "words"),
    [
        pytest.param(
            {
                "name": "worker",
                "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            ["OOMKilled: pod", "exited with 137 (OOMKilled)", "raise resources.limits.memory"],
            id="killed by its memory limit",
        ),
        pytest.param(
            {
                "name": "worker",
                "restartCount": 2,
                "state": {"running": {"startedAt": CREATED}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
            },
            ["CrashLoopBackOff: pod", "exited with 137 (Error)", "does not answer its startup", "`jobtide worker`"],
            id="stopped by its probes, again and again",
        ),
        pytest.param(
            {
                "name": "worker",
                "state": {
                    "waiting": {
                        "reason": "CreateContainerConfigError",
                        "message": "couldn't find key token in Secret media/api",
                    }
                },
            },
            ["CreateContainerConfigError: pod", "couldn't find key token", "add that key to the Secret"],
            id="an environment variable from a key that is not there",
        ),
        pytest.param(
            {
                "name": "worker",
                "state": {"waiting": {"reason": "RunContainerError", "message": "not a directory: mounting url"}},
            },
            ["RunContainerError: pod", "mounting url", "kubectl describe pod"],
            id="a volume of the user's at our path",
        ),
    ],
)
def test_what_the_status_reports_has_its_next_step(container, words):
    problem = pod_of(placed(container)).problem
    for word in words:
        assert word in problem


def test_words_from_a_container_are_one_line_without_what_a_terminal_obeys():
    ended = {"exitCode": 1, "message": "\x1b[2Jfailed\u202e\t" + "x" * 2000}
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    problem = pod_of(placed({"name": "worker", "state": waits, "lastState": {"terminated": ended}})).problem
    assert problem.isprintable()
    assert len(problem) < 800


@pytest.mark.parametrize(
    ("change", "url"),
    [
        pytest.param({}, "http://10.0.0.9:8080/readyz", id="as the probe"),
        pytest.param({"hostNetwork": True}, None, id="the node's own ports are not asked"),
        pytest.param({"containers": [{"name": "worker"}]}, None, id="no probe"),
        pytest.param(
            {"containers": [{"name": "worker", "readinessProbe": {"httpGet": {"path": "/other", "port": 8080}}}]},
            None,
            id="a probe of the user's own",
        ),
    ],
)
def test_a_running_worker_is_asked_where_its_probe_asks(change, url):
    assert wait_of(placed(RUNNING, spec=change)).ready_url == url


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "", "elsewhere.example", "224.0.0.1"])
def test_an_address_that_is_no_pods_is_not_asked(address):
    raw = placed(RUNNING)
    raw["status"]["podIP"] = address
    assert wait_of(raw).ready_url is None


LATER = "2026-11-24T12:10:00Z"


@pytest.mark.parametrize(
    ("raw", "since"),
    [
        pytest.param(placed({**STARTING, "state": {"running": {"startedAt": LATER}}}), LATER, id="after a late Secret"),
        pytest.param(
            placed({**STARTING, "state": {"running": {"startedAt": LATER}}, "restartCount": 1}), CREATED, id="a restart"
        ),
        pytest.param(placed({**RUNNING, "state": {"running": {"startedAt": LATER}}}), LATER, id="a late worker"),
        pytest.param(placed(CREATING), CREATED, id="from the beginning"),
    ],
)
def test_a_pod_waits_since_it_came_into_its_stage(raw, since):
    assert wait_of(raw).since == seconds_of(since)


def test_a_ready_or_ending_pod_waits_for_nothing():
    assert wait_of(pod(ready_at=CREATED)) is None
    assert wait_of(pod(metadata={"deletionTimestamp": CREATED})) is None
    assert wait_of(pod(phase="Failed")) is None
    assert wait_of(placed(STARTING)).step.stage is Stage.STARTING
