"""Why a pod is not ready, by its status, its Events and its worker's own answer, each with the next step.

A trouble is one line, "REASON: pod NAME: the cause in Kubernetes' or the worker's words; the next step". The reason is
Kubernetes' own where there is one; render/stalled.py has the pool's reason for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from ipaddress import ip_address
from typing import Any, NamedTuple

from jobtide_controller.kube.inventory import pod_words
from jobtide_controller.kube.inventory.pod_words import clean, describe, line, logs
from jobtide_controller.render.container import READY_PATH

Json = Mapping[str, Any]

WORKER_CONTAINER = "worker"

_CRASHES_TO_A_LOOP = 2
_STOPPED = {137, 143}  # by SIGKILL or SIGTERM
_IMAGE_WAITS = ("ImagePull", "ErrImage", "InvalidImageName")
_PROBLEM_WAITS = (*_IMAGE_WAITS, "CrashLoop", "CreateContainer", "RunContainer")


class Stage(Enum):
    """How far a pod that is not ready has come."""

    UNSCHEDULED = "no node is chosen"
    UNSTARTED = "its node has not begun"
    CREATING = "containers are made"
    STARTING = "the worker runs, and does not answer yet"
    RUNNING = "the worker answers, and is not ready"


class Step(NamedTuple):
    """What the pod's status alone says of its stage, and what a user can do if it lasts."""

    stage: Stage
    reason: str
    words: str
    advice: str


@dataclass(frozen=True, slots=True)
class Wait:
    """What a pod that is not ready waits for."""

    metadata: Json  # its namespace and name
    since: float  # when it came into this stage, in seconds since the epoch
    step: Step
    ready_url: str | None = None  # where its worker says why it is not ready


def problem_of(raw: Json) -> str | None:
    """What the pod's status itself reports as wrong."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason.startswith(_PROBLEM_WAITS):
            return _container_problem(metadata, container, reason, waiting)
        if _keeps_crashing(container):
            return _container_problem(metadata, container, "CrashLoopBackOff", waiting)
    scheduled = _conditions(status).get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return line(metadata, "Unschedulable", clean(scheduled.get("message") or ""), pod_words.UNSCHEDULABLE)
    return None


def wait_of(raw: Json) -> Wait | None:
    """What the pod waits for; None if it is ready, terminating or finished."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    ready = _conditions(status).get("Ready", {})
    is_over = metadata.get("deletionTimestamp") or status.get("phase") in {"Succeeded", "Failed"}
    if is_over or ready.get("status") == "True":
        return None
    named = {name: metadata[name] for name in ("namespace", "name") if name in metadata}
    step = _step(named, spec, status)
    since = max(map(seconds_of, filter(None, _beginnings(step.stage, metadata, status))))
    return Wait(named, since, step, _ready_url(spec, status) if step.stage is Stage.RUNNING else None)


def cause_of(wait: Wait, events: Sequence[Json], answer: str | None) -> tuple[str, bool]:
    """Why the pod is not ready, and whether this is a failure: a pod may also just take long.

    `events`: those of events.k8s.io about this pod. `answer`: what its worker says, if it could be asked.
    """
    stage, reason, words, advice = wait.step
    if answer is not None:
        return line(wait.metadata, reason, f"its worker answers: {clean(answer)}", advice), True
    probes = stage in {Stage.STARTING, Stage.RUNNING}  # between two, a container may be killed and made again
    newest = max(filter(_is_probe, events) if probes else events, key=_by_time, default={})
    note = clean(newest.get("note") or "")
    if newest.get("type") == "Warning":
        if not _is_probe(newest):
            reason, advice = newest.get("reason") or reason, describe(wait.metadata)
        if pod_words.is_out_of_memory(note):
            reason = "OOMKilled"
        return line(wait.metadata, reason, note, pod_words.advice_for(note) or advice), True
    if stage is Stage.CREATING:  # an image is pulled, or a volume attached
        return line(wait.metadata, reason, note or words, advice), False
    return line(wait.metadata, reason, words, advice), True


def seconds_of(timestamp: str) -> float:
    """A time as Kubernetes writes it, in seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(timestamp).timestamp()


def _container_problem(metadata: Json, container: Json, reason: str, waiting: Json) -> str:
    words = _why_waiting(container, waiting)
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled" or pod_words.is_out_of_memory(words):
        return line(metadata, "OOMKilled", words, pod_words.MEMORY)
    if reason.startswith("CrashLoop"):
        unanswered = f"{pod_words.UNANSWERED}; " if ended.get("exitCode") in _STOPPED else ""
        return line(metadata, reason, words, unanswered + logs(metadata, container["name"], "--previous"))
    advice = pod_words.IMAGE if reason.startswith(_IMAGE_WAITS) else pod_words.advice_for(words)
    return line(metadata, reason, words, advice or describe(metadata))


def _keeps_crashing(container: Json) -> bool:
    """Between two pauses a crash loop looks like a start: it is a loop until the container becomes ready."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    restarts = container.get("restartCount", 0)
    return not container.get("ready") and restarts >= _CRASHES_TO_A_LOOP and bool(ended.get("exitCode"))


def _why_waiting(container: Json, waiting: Json) -> str:
    """With the last line that the container wrote: as its termination message, or in its log."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if ended.get("exitCode") is None:
        return clean(waiting.get("message") or "")
    how = f"container {container['name']} exited with {ended['exitCode']} ({ended.get('reason', 'Error')})"
    lines = [text for text in (ended.get("message") or "").splitlines() if text.strip()]
    return f"{how}: {clean(lines[-1])}" if lines else how


def _step(metadata: Json, spec: Json, status: Json) -> Step:
    conditions, node = _conditions(status), spec.get("nodeName")
    scheduled, ready = conditions.get("PodScheduled", {}), conditions.get("Ready", {})
    if not node:
        return _unscheduled(spec, scheduled)
    if not status.get("startTime"):
        words, advice = (
            f"the kubelet of node {node} has not started it",
            f"see whether it is Ready: kubectl get node {node}",
        )
        by_user = "" if scheduled else "; or remove nodeName from spec.template"  # no scheduler chose it
        return Step(Stage.UNSTARTED, "NodeNotReady", words, advice + by_user)
    containers = {container["name"]: container for container in status.get("containerStatuses") or ()}
    worker = containers.get(WORKER_CONTAINER, {})
    if "running" not in (worker.get("state") or {}):
        return Step(Stage.CREATING, "NotStarted", _creating(status, worker), describe(metadata))
    if not worker.get("started"):
        words = "container worker runs and does not answer its startup probe"
        advice = f"its command must be `jobtide worker`; {logs(metadata, WORKER_CONTAINER)}"
        return Step(Stage.STARTING, "NotAnswering", words, advice)
    unready = next((name for name, container in containers.items() if not container.get("ready")), None)
    if unready is None:
        return Step(Stage.RUNNING, "NotReady", clean(ready.get("message") or ""), describe(metadata))
    own = f"{pod_words.DATABASE}; " if unready == WORKER_CONTAINER else ""
    return Step(Stage.RUNNING, "NotReady", f"container {unready} is not ready", own + logs(metadata, unready))


def _beginnings(stage: Stage, metadata: Json, status: Json) -> Iterator[str | None]:
    """Moments of which the latest is the beginning of the stage: a Secret that came late makes no late start."""
    conditions = _conditions(status)
    yield metadata["creationTimestamp"]
    if stage is not Stage.UNSCHEDULED:
        yield conditions.get("PodScheduled", {}).get("lastTransitionTime")
        yield status.get("startTime")
    worker: Json = next((one for one in status.get("containerStatuses") or () if one["name"] == WORKER_CONTAINER), {})
    is_first = not worker.get("restartCount")  # else each restart would be a beginning
    if stage is Stage.RUNNING or (stage is Stage.STARTING and is_first):
        yield ((worker.get("state") or {}).get("running") or {}).get("startedAt")
    if stage is Stage.RUNNING:
        yield conditions.get("Ready", {}).get("lastTransitionTime")


def _unscheduled(spec: Json, scheduled: Json) -> Step:
    if scheduled.get("reason") == "SchedulingGated":
        gates = ", ".join(gate.get("name", "") for gate in spec.get("schedulingGates") or ())
        words = f"{clean(scheduled.get('message') or 'it has scheduling gates')} ({gates})"
        return Step(Stage.UNSCHEDULED, "SchedulingGated", words, pod_words.GATED)
    scheduler = spec.get("schedulerName") or "default-scheduler"
    words = f"scheduler {scheduler} has not chosen a node for it"
    return Step(Stage.UNSCHEDULED, "NotScheduled", words, pod_words.SCHEDULER)


def _creating(status: Json, worker: Json) -> str:
    for container in status.get("initContainerStatuses") or ():
        if "running" in (container.get("state") or {}) and not container.get("started"):
            return f"init container {container['name']} has not ended"
    waiting = (worker.get("state") or {}).get("waiting") or {}
    return f"container worker waits: {waiting.get('reason') or 'it is not created yet'}"


def _ready_url(spec: Json, status: Json) -> str | None:
    """The worker's /readyz, as the kubelet asks it. None for a pod in its node's network: the port may be another's."""
    worker: Json = next((one for one in spec.get("containers") or () if one.get("name") == WORKER_CONTAINER), {})
    probe = (worker.get("readinessProbe") or {}).get("httpGet") or {}
    port, is_http = probe.get("port"), probe.get("scheme", "HTTP") == "HTTP" and not probe.get("host")
    if probe.get("path") != READY_PATH or not isinstance(port, int) or not is_http or spec.get("hostNetwork"):
        return None
    try:
        address = ip_address(status.get("podIP") or "")
    except ValueError:
        return None
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return None
    return f"http://{f'[{address}]' if address.version == 6 else address}:{port}{READY_PATH}"  # noqa: PLR2004 - IPv6


def _conditions(status: Json) -> dict[str, Json]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _is_probe(event: Json) -> bool:
    return event.get("reason") == "Unhealthy" and event.get("type") == "Warning"


def _by_time(event: Json) -> tuple[str, bool]:
    """Its last occurrence, in whole seconds as the kubelet writes it; of two in one second a warning is the later."""
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime") or ""
    return at[: len("2026-11-24T12:00:00")], event.get("type") == "Warning"
