"""A schedule: one job type, one tenant, one cron expression; and the slot that a cron job stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

from jobtide.cron.expression import Expression, parse, zone_of
from jobtide.job import Job, Json
from jobtide.payload import json_text, json_value
from jobtide.producer.enqueue import NewJob, uuid_of
from jobtide.producer.job_ids import Key, key_of, key_of_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One job type enqueued for one tenant at each slot of an expression."""

    type: str
    tenant_id: UUID
    expression: Expression
    zone: tzinfo
    payload: Json
    name: str

    @property
    def key(self) -> Key:
        return key_of("cron", self.tenant_id, self.type, self.name)

    def next_slot(self, now: datetime) -> datetime:
        """The first slot after `now`, in UTC. Raises ValueError if there is none in eight years."""
        slot = self.expression.next_after(now, self.zone)
        if slot is None:
            raise ValueError(f"cron {self.expression.text!r}: no such day in the next eight years")
        return slot

    def job(self, slot: datetime) -> NewJob:
        """The new job of this slot. Its id contains the slot, so many processes can enqueue it and it exists once."""
        return NewJob(
            type=self.type,
            tenant_id=self.tenant_id,
            payload=self.payload,
            run_at=slot,
            job_id=self.key.id(int(slot.timestamp()) // 60),
        )


def schedule_of(
    expression: str, type_: str, *, tenant_id: UUID | str, timezone: str, payload: Any, name: str
) -> Schedule:
    """Checks and builds a schedule. Raises ValueError if it can't be parsed or stored, or never falls due."""
    value = json_value(payload)
    json_text(value, f"the payload of {type_!r}")
    schedule = Schedule(
        type=type_,
        tenant_id=uuid_of("tenant_id", tenant_id),
        expression=parse(expression),
        zone=zone_of(timezone),
        payload=value,
        name=name,
    )
    schedule.next_slot(datetime.now(UTC))
    return schedule


def slot_of(job: Job, name: str = "") -> datetime | None:
    """The slot of a cron job in UTC, the same in a retry or after a late start; None for other jobs."""
    if key_of_id(job.id) != key_of("cron", job.tenant_id, job.type, name):
        return None
    return datetime.fromtimestamp((job.id.int & 0xFFFF_FFFF) * 60, UTC)
