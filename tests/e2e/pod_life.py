"""When pods were ready and when they were told to stop, when they had jobs, and whether the right ones were told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from dev.stage.pools import is_ready
from dev.stage.watch import Event
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.work import Change

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
# A choice rests on a reading that is five seconds old where reading is dear; meanwhile an idle pod may take a job.
CHOICE_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Job:
    id: UUID
    began_at: float
    ended_at: float


@dataclass(slots=True)
class PodLife:
    name: str
    pool: str
    ready_at: float | None = None  # since then without a break
    marked_at: float | None = None  # as one of the first to go, ever since then
    told_at: float | None = None
    jobs: list[Job] = field(default_factory=list)

    @property
    def chosen_at(self) -> float | None:
        """Kubernetes may take a while from the mark to the deletion, in which the pod works on."""
        return self.told_at if self.told_at is None or self.marked_at is None else self.marked_at

    def long_busy_at(self, moment: float) -> list[Job]:
        """Jobs that ran then and had been running for longer than a choice takes."""
        return [job for job in self.jobs if job.began_at < moment - CHOICE_SECONDS and job.ended_at > moment]

    def could_have_gone_at(self, moment: float) -> bool:
        """Ready, idle all the time that a choice takes, and told neither before nor with the others."""
        begin, end = moment - CHOICE_SECONDS, moment + CHOICE_SECONDS
        is_up = self.ready_at is not None and self.ready_at < begin
        stays = self.told_at is None or self.told_at > end
        is_idle = all(job.ended_at < begin or job.began_at > moment for job in self.jobs)
        return is_up and stays and is_idle


def lives(events: Iterable[Event], histories: Mapping[UUID, list[Change]]) -> list[PodLife]:
    """From what a watch of pods said, and from jobs that each ran once."""
    found: dict[str, PodLife] = {}
    for event in events:
        metadata = event.object["metadata"]
        life = found.setdefault(event.uid, PodLife(event.name, metadata["labels"][POOL_LABEL]))
        if "deletionTimestamp" in metadata:
            life.told_at = life.told_at or event.at
            continue
        life.ready_at = (life.ready_at or event.at) if is_ready(event.object) else None
        is_marked = int(metadata.get("annotations", {}).get(DELETION_COST, "0")) < 0
        life.marked_at = (life.marked_at or event.at) if is_marked else None
    for job, (began, ended) in histories.items():
        found[began.pod_uid].jobs.append(Job(job, began.at, ended.at))
    return list(found.values())


def wrongly_told(pods: list[PodLife]) -> list[str]:
    """Pods that were told to stop in mid-job while an idle one of their pool stayed.

    Kubernetes takes pods that are not ready before all others, whatever they are marked with.
    """
    return [
        f"{busy.name} had run {job.id} for {busy.chosen_at - job.began_at:.1f} s while {idle.name} was idle; "
        f"it was marked at {busy.marked_at} and told at {busy.told_at}, the other marked at {idle.marked_at}"
        for busy in pods
        if busy.chosen_at is not None and busy.ready_at is not None
        for job in busy.long_busy_at(busy.chosen_at)
        for idle in pods
        if idle.pool == busy.pool and idle.could_have_gone_at(busy.chosen_at)
    ]
