"""Which jobs a question or a change is about. What makes no sense is refused with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from jobtide.errors import JobtideError

Status = Literal["pending", "processing", "completed", "failed"]
Verb = Literal["retry", "cancel", "run-now", "purge"]

STATUSES: tuple[Status, ...] = get_args(Status)
VERBS: tuple[Verb, ...] = get_args(Verb)
FIELDS = ("type", "tenant", "status", "error", "since", "until", "id")
"""The names of the filters, in the terminal (--type) and in a URL (?type=)."""

CHANGES: dict[Verb, tuple[Status, ...]] = {
    "retry": ("failed",),
    "cancel": ("pending", "processing"),
    "run-now": ("pending",),
    "purge": ("completed", "failed"),
}
"""The statuses that each verb changes."""

_WITH_ERROR: tuple[Status, ...] = ("failed", "pending", "processing")  # a retried job keeps its last error
_MOST_TEXT = 1_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LONGEST_AGE = timedelta(days=36_500)


class FilterRefused(JobtideError):  # noqa: N818 - a filter is wrong
    """The field, its value, and what to write instead."""

    def __init__(self, field: str, value: str, why: str, fix: str) -> None:
        super().__init__(f"--{field} {value}: {why}; {fix}" if value else f"--{field}: {why}; {fix}")
        self.field = field
        self.value = value
        self.why = why
        self.fix = fix

    def to_json(self) -> dict[str, str]:
        return {"field": self.field, "value": self.value, "why": self.why, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """All given conditions hold together. `since` (inclusive) and `until` (exclusive) are times of creation.

    `error` is a part of the stored error's text, in any case of letters.
    """

    type: str | None = None
    tenant: UUID | None = None
    status: Status | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    id: UUID | None = None

    @classmethod
    def of(cls, values: Mapping[str, str], now: datetime) -> JobFilter:
        """Reads texts by FIELDS, as a command or a URL has them; missing and empty ones are no condition.

        Times are ISO 8601 (UTC unless they name a zone) or an age, as in 90s, 15m, 2h or 7d. `tenant` is a UUID.
        Raises FilterRefused.
        """
        given = {name: text for name, text in values.items() if text}
        for name, text in given.items():
            if name not in FIELDS:
                raise FilterRefused(name, text, "there is no such filter", f"use one of {', '.join(FIELDS)}")
        found = cls(
            type=_text("type", given),
            tenant=_uuid("tenant", given),
            status=_status(given),
            error=_text("error", given),
            since=_moment("since", given, now),
            until=_moment("until", given, now),
            id=_uuid("id", given),
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises FilterRefused for conditions that contradict each other."""
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise FilterRefused("until", self.until.isoformat(), "it is not after --since", "give a later time")
        if self.until is not None and self.until <= _EARLIEST:
            raise FilterRefused("until", self.until.isoformat(), "no job is older", "give a later time")
        others = [name for name in FIELDS if name not in {"id", "status"} and getattr(self, name) is not None]
        if self.id is not None and others:
            raise FilterRefused("id", str(self.id), "it names one job", f"leave out --{' and --'.join(others)}")
        if self.error is not None and self.status == "completed":
            raise FilterRefused(
                "error", self.error, "completed jobs have no error", f"use --status {' or '.join(_WITH_ERROR)}"
            )

    def statuses(self, verb: Verb | None = None) -> tuple[Status, ...]:
        """The statuses to look through, for a list or for what `verb` changes. Raises FilterRefused."""
        allowed = CHANGES[verb] if verb else STATUSES
        if self.status is not None and self.status not in allowed:
            raise FilterRefused(
                "status", self.status, f"{verb} does not change {self.status} jobs", f"use {' or '.join(allowed)}"
            )
        if self.status is not None:
            return (self.status,)
        return tuple(one for one in allowed if self.error is None or one in _WITH_ERROR)

    def check_change(self, verb: Verb) -> None:
        """Raises FilterRefused unless `verb` may change what this filter finds: it needs a condition of its own."""
        self.statuses(verb)
        if verb == "purge" and self.id is None and self.until is None:
            raise FilterRefused("until", "", "purge deletes by age", "name one, as in --until 30d, or one --id")
        if all(getattr(self, name) is None for name in FIELDS if name != "status"):
            raise FilterRefused(
                "type", "", f"{verb} without a filter would change every job", "name --type, --tenant, --since or --id"
            )

    def to_json(self) -> dict[str, str]:
        """The conditions as texts, as `of` reads them and a URL or a log line has them."""
        values: dict[str, Any] = {name: getattr(self, name) for name in FIELDS}
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in values.items()
            if value is not None
        }


def _text(name: str, given: Mapping[str, str]) -> str | None:
    text = given.get(name)
    if text is None:
        return None
    if len(text) > _MOST_TEXT or "\x00" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise FilterRefused(
            name, ascii(text)[:80], "it can't be in the table", f"give up to {_MOST_TEXT} characters of text"
        )
    return text


def _uuid(name: str, given: Mapping[str, str]) -> UUID | None:
    text = given.get(name)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise FilterRefused(name, text or "", "it is no UUID", "give the UUID of the table's column") from None


def _status(given: Mapping[str, str]) -> Status | None:
    text = given.get("status")
    for status in STATUSES:
        if text == status:
            return status
    if text is None:
        return None
    raise FilterRefused("status", text, "there is no such status", f"use one of {', '.join(STATUSES)}")


def _moment(name: str, given: Mapping[str, str], now: datetime) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    age = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])", text)
    try:
        if age is None:
            at = datetime.fromisoformat(text)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return now - min(timedelta(seconds=float(age[1]) * _UNITS[age[2]]), _LONGEST_AGE)
    except (ValueError, OverflowError):
        raise FilterRefused(
            name, text, "it is no time", "give an age, as in 15m, 2h or 7d, or a time, as in 2026-11-29T02:00Z"
        ) from None
