"""Pods that wait, as scheduler and kubelet write them, and the Events about them as events.k8s.io has them."""

from __future__ import annotations

from typing import Any

from tests.unit.kube.objects import CREATED, pod

Raw = dict[str, Any]

READINESS = {"httpGet": {"path": "/readyz", "port": 8080, "scheme": "HTTP"}}
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED}
NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
UNREADY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": CREATED}
CREATING = {"name": "worker", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
STARTING = {"name": "worker", "ready": False, "started": False, "state": {"running": {"startedAt": CREATED}}}
RUNNING = {**STARTING, "started": True}

MOUNT_FAILED = 'MountVolume.SetUp failed for volume "jobtide-database" : secret "jobtide-worker-db" not found'
KEY_MISSING = 'MountVolume.SetUp failed for volume "jobtide-database" : references non-existent secret key: url'
SANDBOX_KILLED = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox: runc create failed: "
    "container init was OOM-killed (memory limit too low?)"
)
# The same death, of which runc sees less: the first is one of about ten tries with 2 MiB.
SANDBOX_ENDED = (
    'failed to start sandbox container task "04ff401d": cannot start a stopped process: unknown',
    "failed to create containerd task: error during container init: read init-p: connection reset by peer",
    "failed to create containerd task: unable to apply cgroup configuration: write init-p: broken pipe",
)
REFUSED_PROBE = 'Startup probe failed: Get "http://10.0.0.9:8080/livez": dial tcp 10.0.0.9:8080: connect: refused'


def placed(container: Raw, *, spec: Raw | None = None, **more: Any) -> Raw:
    """A pod on a node, whose worker container is in this state."""
    raw = pod(
        conditions=[SCHEDULED, UNREADY],
        startTime=CREATED,
        podIP="10.0.0.9",
        containerStatuses=[container],
        phase="Running" if "running" in container["state"] else "Pending",
        **more,
    )
    own = {"nodeName": "node-1", "containers": [{"name": "worker", "readinessProbe": READINESS}]}
    return {**raw, "spec": {**own, **(spec or {})}}


def unplaced(*conditions: Raw, **spec: Any) -> Raw:
    """A pod without a node."""
    return {**pod(phase="Pending", conditions=list(conditions)), "spec": spec}


def event(reason: str, note: str, *, at: str = "2026-11-24T12:00:10Z", kind: str = "Warning") -> Raw:
    return {"reason": reason, "note": note, "type": kind, "deprecatedLastTimestamp": at, "eventTime": None}
