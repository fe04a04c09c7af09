"""The status of a pool that can't be decided: what is wrong with it, beside what was known before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobtide_controller.api.status import MESSAGE_LIMIT, JobWorkerPoolStatus
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.render import display
from jobtide_controller.render.conditions import CONDITIONS
from jobtide_controller.render.facts import Judgement
from jobtide_controller.render.status import conditions, present_of, readable

STATUS_REFUSED = "StatusRefused"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pool's workers stay as they are."""

    reason: Literal["InvalidSpec", "InternalError"]
    message: str

    @property
    def is_stalled(self) -> bool:
        """Whether only its user can end it; anything else is tried again."""
        return self.reason == "InvalidSpec"


def render_trouble(
    trouble: Trouble, *, generation: int, fleet: Fleet, previous_status: Mapping[str, Any] | None, now: float
) -> dict[str, Any]:
    """The status as Kubernetes stores it. What was learned of types and decided before stays."""
    previous = readable(previous_status)
    judged = _judge(trouble)
    status = JobWorkerPoolStatus(
        observed_generation=generation,
        reason=trouble.reason,
        message=trouble.message,
        replicas=present_of(fleet),
        ready_replicas=fleet.ready,
        desired_replicas=fleet.current_replicas or 0,
        selector=previous.selector,
        types=previous.types,
        decisions=previous.decisions,
        last_read_time=previous.last_read_time,
        display=display.unknown(display.NONE),
        conditions=conditions(judged, previous, generation, now),
    )
    return status.as_object()


def refused_status(status: Mapping[str, Any], words: str) -> dict[str, Any]:
    """What is written instead of a status that the API server refuses, with its words: nothing that users wrote."""
    kept = {name: status[name] for name in _NUMBERS if name in status}
    message = f"the API server refuses this pool's status: {words}"[:MESSAGE_LIMIT]
    made = [dict(one) for one in status.get("conditions") or ()]
    for one in made:
        one["message"] = message if one.get("type") == "Ready" else ""
        if one.get("type") == "Ready":
            one.update(status="False", reason=STATUS_REFUSED)
    return {**kept, "reason": STATUS_REFUSED, "message": message, "conditions": made}


_NUMBERS = ("observedGeneration", "replicas", "readyReplicas", "busyReplicas", "desiredReplicas", "selector")


def _judge(trouble: Trouble) -> tuple[Judgement, ...]:
    stalled = ("True", trouble.reason, trouble.message) if trouble.is_stalled else ("False", "NotStalled", "")
    known = {
        "Ready": Judgement("Ready", "False", trouble.reason, trouble.message),
        "Stalled": Judgement("Stalled", *stalled),  # type: ignore[arg-type]
    }
    return tuple(known.get(type_) or Judgement(type_, "Unknown", trouble.reason) for type_ in CONDITIONS)
