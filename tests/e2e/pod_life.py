"""When pods were ready, busy and stopped, and whether a scale-down stopped the right ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from dev.stage.pools import is_ready
from dev.stage.watch import Event
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.work import Change

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
# A choice may use a reading that is five seconds old; in that time an idle pod may claim a job.
CHOICE_SECONDS = 6.0
# SIGTERM can come between a claim and its handler's start: the worker returns that job at once, but machines that run
# tests stand still at times. A handler that runs is not stopped before the drain time is over, which is longer.
UNSTARTED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    id: UUID
    began_at: float
    ended_at: float


@dataclass(slots=True)
class PodLife:
    name: str
    pool: str
    ready_at: float | None = None  # without interruption since then
    marked_at: float | None = None  # with a negative deletion cost, without interruption since then
    stopped_at: float | None = None
    jobs: list[Job] = field(default_factory=list)

    @property
    def chosen_at(self) -> float | None:
        """When it was marked, otherwise when it was stopped: Kubernetes may delete it a while after the mark."""
        return self.stopped_at if self.stopped_at is None or self.marked_at is None else self.marked_at

    def long_busy_at(self, moment: float) -> list[Job]:
        """Jobs that ran at that time, and had been running for longer than a choice takes."""
        return [job for job in self.jobs if job.began_at < moment - CHOICE_SECONDS and job.ended_at > moment]

    def could_have_gone_at(self, moment: float) -> bool:
        """True if it was ready and idle while the choice was made, and was not stopped before or with the others."""
        begin, end = moment - CHOICE_SECONDS, moment + CHOICE_SECONDS
        is_up = self.ready_at is not None and self.ready_at < begin
        stays = self.stopped_at is None or self.stopped_at > end
        is_idle = all(job.ended_at < begin or job.began_at > moment for job in self.jobs)
        return is_up and stays and is_idle


def of_runs(history: list[Change]) -> list[Change]:
    """Without claims that were returned before their handler started."""
    if len(history) < 2 or (history[0].became, history[1].became) != ("processing", "pending"):
        return history
    is_unstarted = history[1].at - history[0].at < UNSTARTED_SECONDS
    return of_runs(history[2:]) if is_unstarted else history


def lives(events: Iterable[Event], histories: Mapping[UUID, list[Change]]) -> list[PodLife]:
    """Built from the events of a watch of pods, and from jobs that each ran once."""
    found: dict[str, PodLife] = {}
    for event in events:
        metadata = event.object["metadata"]
        life = found.setdefault(event.uid, PodLife(event.name, metadata["labels"][POOL_LABEL]))
        if "deletionTimestamp" in metadata:
            life.stopped_at = life.stopped_at or event.at
            continue
        life.ready_at = (life.ready_at or event.at) if is_ready(event.object) else None
        is_marked = int(metadata.get("annotations", {}).get(DELETION_COST, "0")) < 0
        life.marked_at = (life.marked_at or event.at) if is_marked else None
    for job, (began, ended) in histories.items():
        found[began.pod_uid].jobs.append(Job(job, began.at, ended.at))
    return list(found.values())


def wrongly_stopped(pods: list[PodLife]) -> list[str]:
    """Pods that were stopped in mid-job while an idle pod of their pool stayed.

    Kubernetes deletes pods that are not ready before all others, regardless of their deletion cost.
    """
    return [
        f"{busy.name} had run {job.id} for {busy.chosen_at - job.began_at:.1f} s while {idle.name} was idle; "
        f"it was marked at {busy.marked_at} and stopped at {busy.stopped_at}, the other marked at {idle.marked_at}"
        for busy in pods
        if busy.chosen_at is not None and busy.ready_at is not None
        for job in busy.long_busy_at(busy.chosen_at)
        for idle in pods
        if idle.pool == busy.pool and idle.could_have_gone_at(busy.chosen_at)
    ]
