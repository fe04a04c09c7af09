"""Pools as the API server has them, with the status that the controller writes."""

from __future__ import annotations

from typing import Any

from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolStatus
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.limits import Shared, with_limits
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context
from tests.unit.decide.builders import NOW, pool

READ_AGO_SECONDS = 3.0
LATER = NOW + READ_AGO_SECONDS
REFUSED = Unreadable(UnreadableReason.UNREACHABLE, "connection to db:5432 refused", NOW)
ACME, GLOBEX = "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10", "8c1f6a0e-52d1-4d0b-8f37-1b9f4e7c2d55"
DEPTHS = {
    Key("thumbs", ACME): Depth(due=8_000, later=140, running=92, oldest_age_seconds=192.7, mean_age_seconds=90),
    Key("video", GLOBEX): Depth(due=12, running=4, oldest_age_seconds=41, mean_age_seconds=20),
}
LEARNED = History(types={"thumbs": Learned(slot_seconds=1_234.5, jobs=1_000, ran_seconds=900)})


def reported(
    depths: dict[Key, Depth] | Unreadable,
    workers: Fleet,
    *,
    before: JobWorkerPool | None = None,
    at: float = NOW,
    context: Context | None = None,
    share: Share | None = None,
    shared: Shared | None = None,
    **fields: Any,
) -> JobWorkerPool:
    """The pool after one tick; `shared` are limits of tenants by the user's view."""
    reading = depths if isinstance(depths, Unreadable) else Reading(at, depths)
    own = pool(**{"types": ["thumbs", "video"], "maxReplicas": 40, **fields})
    given = own
    if isinstance(reading, Reading):
        given = own.model_copy(update={"spec": with_limits(own.spec, shared or {}, reading)})
    previous = None if before is None or before.status is None else before.status.as_object()
    decision = decide(given.spec, reading, workers, LEARNED, at, share)
    rendered = status.render(given, reading, workers, decision, context or Context(), previous, at)
    return own.model_copy(update={"status": JobWorkerPoolStatus.model_validate(rendered)})
