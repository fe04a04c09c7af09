"""Windows by the clock: from each time of a cron expression on, for some seconds, other limits hold.

CEL refuses what can be seen in one text; `faults_of_schedules` what only a calendar or a list of timezones shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from jobtide.cron.expression import Expression, parse, zone_of
from jobtide_controller.api.base import DAY_SECONDS, Model
from jobtide_controller.api.rules import rule, validations

DURATION_MIN_SECONDS = 60
DURATION_MAX_DAYS = 31
SCHEDULES_MAX = 16
BEGINS_A_DAY_MAX = 96  # every quarter of an hour; each beginning and each end is a decision and a status


def _cron_field(value: str) -> str:
    term = f"([*]|{value}(-{value})?)(/[1-9][0-9]{{0,3}})?"
    return f"{term}(,{term})*"


CRON = (
    "(?i)^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|"
    + " +".join(
        _cron_field(value)
        for value in (
            "[0-5]?[0-9]",
            "([01]?[0-9]|2[0-3])",
            "(0?[1-9]|[12][0-9]|3[01])",
            "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
            "([0-7]|sun|mon|tue|wed|thu|fri|sat)",
        )
    )
    + ")$"
)
TIMEZONE = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"

BAD_CRON = rule(
    f"self.matches('{CRON}')",
    "cron ('%s') must be five fields: minute, hour, day of month, month, day of week; "
    "for example '0 9 * * mon-fri' or '@daily'",
    "self",
)
BAD_TIMEZONE = rule(
    f"self.matches('{TIMEZONE}')",
    "timezone ('%s') must be a name of the time zone database, for example Europe/Berlin",
    "self",
)
NO_LIMIT = rule(
    "has(self.minReplicas) || has(self.maxReplicas) || has(self.maxWaitSeconds)",
    "schedules: the window ('%s') changes nothing; set minReplicas, maxReplicas or maxWaitSeconds in it, or remove it",
    "self.name",
)
WINDOW_MAX_BELOW_MIN = rule(
    "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
    "schedules: in the window ('%s') maxReplicas (%d) must be >= minReplicas (%d); raise maxReplicas or lower "
    "minReplicas",
    "self.name",
    "self.maxReplicas",
    "self.minReplicas",
)
WINDOW_RULES = validations(NO_LIMIT, WINDOW_MAX_BELOW_MIN)


class Schedule(Model):
    """Windows in which other limits hold than those of the spec, which they replace one by one."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name of the window, in status, messages and events. Required. Example: office-hours.",
    )
    cron: Annotated[str, Field(json_schema_extra=validations(BAD_CRON))] = Field(
        min_length=1,
        max_length=100,
        description="When a window begins: five fields (minute, hour, day of month, month, day of week), as "
        f"`jobtide cron` has them; at most {BEGINS_A_DAY_MAX} times a day. Required. Example: 0 9 * * mon-fri.",
    )
    timezone: Annotated[str, Field(json_schema_extra=validations(BAD_TIMEZONE))] = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        description="Timezone of cron, as in the time zone database: Europe/Berlin. Default: UTC.",
    )
    duration_seconds: int = Field(
        ge=DURATION_MIN_SECONDS,
        le=DURATION_MAX_DAYS * DAY_SECONDS,
        description="How long a window lasts, in seconds of real time; at most until cron begins the next. Required. "
        "Example: 32400, nine hours.",
    )
    min_replicas: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Minimum number of workers in the window; they are up when it begins. Unset: not changed.",
    )
    max_replicas: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Maximum number of workers in the window; 0: none. Busy workers stay. Unset: not changed.",
    )
    max_wait_seconds: int | None = Field(
        default=None,
        ge=1,
        le=DAY_SECONDS,
        description="The promise in the window, in seconds, instead of the pool's maxWaitSeconds. Unset: not changed.",
    )


@lru_cache(maxsize=4_096)
def times_of(cron: str, timezone: str) -> tuple[Expression, tzinfo]:
    """The parsed expression and its timezone. Raises ValueError if one of them is wrong."""
    return parse(cron), zone_of(timezone)


def faults_of_schedules(schedules: Any) -> Iterator[str]:
    """Why windows that fit the schema can't be used; nothing if they can. `schedules` is as Kubernetes stores it."""
    for position, schedule in enumerate(schedules if isinstance(schedules, list | tuple) else ()):
        yield from _faults(schedule, f"schedules[{position}]")


def _faults(schedule: Any, path: str) -> Iterator[str]:
    cron, timezone, seconds = schedule["cron"], schedule.get("timezone", "UTC"), schedule["durationSeconds"]
    try:
        expression = parse(cron)
    except ValueError as error:
        yield f"{path}.{error}"
        return
    try:
        zone_of(timezone)
    except ValueError:
        yield (
            f"{path}.timezone ({json.dumps(timezone)}) is not in the controller's time zone database: write a name "
            "such as Europe/Berlin or UTC"
        )
        return
    shown = f"{path}.cron ({json.dumps(cron)})"
    often = len(expression.hours) * len(expression.minutes)
    if often > BEGINS_A_DAY_MAX:
        yield f"{shown} begins {often:,} windows a day; write one that begins at most {BEGINS_A_DAY_MAX}"
    elif not _falls_due(cron):
        yield f"{shown} never falls due in the next eight years: correct day of month and month"
    else:
        period = shortest_period_seconds(cron)
        if period is not None and seconds > period:
            yield (
                f"{path}.durationSeconds ({seconds}) is longer than the shortest time between two times of cron "
                f"({json.dumps(cron)}): write at most {period}, or a cron that begins less often"
            )


@lru_cache(maxsize=1_024)
def _falls_due(cron: str) -> bool:
    return parse(cron).next_after(datetime(2027, 1, 1, tzinfo=UTC), UTC) is not None


@lru_cache(maxsize=1_024)
def shortest_period_seconds(cron: str) -> int | None:
    """Between two times of an expression, on clocks that never change; None: years."""
    expression = parse(cron)
    minutes = sorted(60 * hour + minute for hour in expression.hours for minute in expression.minutes)
    first = date(2028, 1, 1)  # a leap year, and the one after it
    days = [day for day in range(731) if expression.falls_on(first + timedelta(days=day))]
    periods = [after - before for before, after in pairwise(minutes)] if days else []
    if len(days) > 1:
        apart = min(after - before for before, after in pairwise(days))
        periods.append(1_440 * apart - minutes[-1] + minutes[0])
    return 60 * min(periods) if periods else None
