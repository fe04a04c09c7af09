"""The condition Stalled: why a pool's workers can't become as many as decided, and the next step."""

from __future__ import annotations

import re
from dataclasses import replace

from jobtide_controller.decide.fleet import Pod
from jobtide_controller.decide.reading import Unreadable
from jobtide_controller.render.deployment import PROGRESS_DEADLINE_SECONDS
from jobtide_controller.render.facts import Facts, Judgement

NOT_READY = "NotReady"

# After an outage workers are ready again within this time: they try every 10 s.
RECONNECT_SECONDS = 15.0

# A pod that replaces a stuck one is stuck itself, or not, within this time: kube/inventory/causes.py looks that often.
RECURS_SECONDS = 30.0

# A node autoscaler takes a minute or two for a node, up to ten for one with GPUs. A Deployment has ten minutes too
# until Kubernetes says that it makes no progress.
NODE_SECONDS = float(PROGRESS_DEADLINE_SECONDS)
UNSCHEDULABLE = "Unschedulable"

# The beginning of a pod's problem -> the reason. Kubernetes has several words for what is the same to a user.
_PROBLEMS = (
    (("ImagePull", "ErrImage", "InvalidImageName"), "ImagePull"),
    (("OOMKilled",), "OutOfMemory"),
    (("CrashLoop",), "CrashLoop"),
    ((UNSCHEDULABLE, "FailedScheduling"), UNSCHEDULABLE),
    (("NotScheduled", "SchedulingGated"), "NotScheduled"),
    (("CreateContainer", "RunContainer", "FailedMount"), "ConfigError"),
    (("NodeNotReady",), "NodeNotReady"),
    (("NotAnswering",), "NotAnswering"),
    ((NOT_READY,), NOT_READY),
)
_OTHER_PROBLEM = "PodProblem"
_POD_REASONS = frozenset({reason for _, reason in _PROBLEMS} | {_OTHER_PROBLEM})

# Why the API server refuses pods, by its message -> the reason, and the next step.
_REFUSALS = (
    (
        re.compile(r"exceeded quota|failed quota|insufficient quota"),
        "QuotaExceeded",
        "raise the namespace's ResourceQuota, or lower resources in spec.template or maxReplicas",
    ),
    (
        re.compile(r"service ?account .*not found|error looking up service account", re.IGNORECASE),
        "ServiceAccountMissing",
        "create that ServiceAccount in the pool's namespace, or correct serviceAccountName in spec.template",
    ),
    (
        re.compile(r"violates PodSecurity"),
        "PodSecurity",
        "change securityContext in spec.template as the message says, or the namespace's Pod Security level",
    ),
    (
        re.compile(r"(minimum|maximum) \S+ usage per|must be specified|max limit to request ratio"),
        "LimitRange",
        "change resources in spec.template to what the namespace's LimitRange allows",
    ),
    (
        re.compile(r"PriorityClass"),
        "PriorityClassMissing",
        "create that PriorityClass, or correct priorityClassName in spec.template",
    ),
)


def stalled(facts: Facts) -> Judgement:
    """True if it can't continue without help."""
    context, rollout = facts.context, facts.context.rollout
    if context.conflict is not None:
        return Judgement("Stalled", "True", "Conflict", context.conflict)
    if facts.fleet.ready < facts.decision.replicas or not rollout.complete:
        if rollout.replica_failure is not None:
            return Judgement("Stalled", "True", *refusal(rollout.replica_failure))
        problem = _problem(facts)
        if problem is not None:
            return Judgement("Stalled", "True", problem_reason(problem), problem)
        if facts.stalled_before is not None and _recurs(facts.stalled_before, facts):
            return _again(facts.stalled_before, facts)
        if rollout.deadline_exceeded:
            words = "the Deployment has made no progress for ten minutes; kubectl describe deployment shows more"
            return Judgement("Stalled", "True", "RolloutBlocked", words)
    return Judgement("Stalled", "False", "NotStalled")


def waiting_for(facts: Facts) -> str | None:
    """Why a worker is not ready yet, also while that may be a slow start."""
    pods = [pod for pod in facts.fleet.pods if not pod.ready]
    return next((pod.problem or pod.cause for pod in pods if pod.problem or pod.cause), None)


def problem_reason(problem: str) -> str:
    """The reason in Stalled for a pod's problem: ErrImagePull and ImagePullBackOff are the same to a user."""
    for prefixes, reason in _PROBLEMS:
        if problem.startswith(prefixes):
            return reason
    return _OTHER_PROBLEM


def refusal(message: str) -> tuple[str, str]:
    """The reason for pods that the API server refuses, and its message with the next step."""
    for pattern, reason, advice in _REFUSALS:
        if pattern.search(message):
            return reason, f"{message}; {advice}"
    return "PodsRefused", f"{message}; change spec.template so that the API server accepts its pods"


def _problem(facts: Facts) -> str | None:
    """What a pod's status reports, or what its Events or its worker say for longer than a start takes."""
    pods = [pod for pod in facts.fleet.pods if not pod.ready]
    reported = next((pod.problem for pod in pods if pod.problem and not _awaits_node(pod, facts)), None)
    return reported or next((pod.cause for pod in pods if pod.stuck and not _is_outage(pod.cause, facts)), None)


def _awaits_node(pod: Pod, facts: Facts) -> bool:
    """Whether a node may be on its way for it: the pod does not say so, only time does."""
    has_time = facts.now - pod.created_at < NODE_SECONDS and not facts.context.rollout.deadline_exceeded
    return (pod.problem or "").startswith(UNSCHEDULABLE) and has_time


def _recurs(before: Judgement, facts: Facts) -> bool:
    """Whether the stuck pod was replaced, and the new ones have had no time yet to come further or to be stuck.

    Kubernetes does so again and again with a pod on a node that does not exist.
    """
    if before.reason not in _POD_REASONS or _is_outage(before.message, facts):
        return False
    return all(facts.now - pod.created_at < RECURS_SECONDS for pod in facts.fleet.starting)


def _again(before: Judgement, facts: Facts) -> Judgement:
    """With the name of a pod that exists, as soon as its cause is known."""
    causes = (pod.cause for pod in facts.fleet.starting if pod.cause and problem_reason(pod.cause) == before.reason)
    return replace(before, message=next(causes, before.message))


def _is_outage(cause: str | None, facts: Facts) -> bool:
    """Whether the controller does not reach the database either, or did not a moment ago: it is not the pod's fault."""
    if not (cause or "").startswith(NOT_READY):
        return False
    return isinstance(facts.reading, Unreadable) or facts.now - facts.readable_since < RECONNECT_SECONDS
