"""Cron expressions: five fields and a timezone -> the times at which a job falls due. No database.

The rules are those of Debian's cron. Where both day fields are restricted, either may match; where one begins with a
star, both must. On the nights that clocks change, an expression whose minute or hour begins with a star follows real
time; any other runs once a day: at the first minute after a gap, and the first time where an hour comes twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TERM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    smallest: int
    largest: int
    words: tuple[str, ...] = ()  # for the smallest value and those that follow

    def values(self, text: str) -> set[int]:
        """The values that match. Raises ValueError for a wrong text."""
        return {value for term in text.split(",") for value in self._term(term)}

    def _term(self, term: str) -> range:
        match = _TERM.fullmatch(term)
        if match is None or match[4] == "0":
            raise ValueError(term)
        star, first, last, step = match.groups()
        if star:
            return range(self.smallest, self.largest + 1, int(step or 1))
        begin = self._number(first)
        end = self._number(last) if last else self.largest if step else begin
        if end < begin:
            raise ValueError(term)
        return range(begin, end + 1, int(step or 1))

    def _number(self, text: str) -> int:
        value = self.smallest + self.words.index(text) if text in self.words else int(text)
        if not self.smallest <= value <= self.largest:
            raise ValueError(text)
        return value


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)
_LONGEST_WAIT = timedelta(days=8 * 366)  # 29 February is eight years away around 2100
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression, as the values that match in each field."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both_days_must_match: bool
    follows_real_time: bool

    def next_after(self, after: datetime, zone: tzinfo) -> datetime | None:
        """The first matching time after `after`, in UTC; None if there is none in eight years."""
        after = after.astimezone(UTC)
        return self._next_in_real_time(after, zone) if self.follows_real_time else self._next_on_clocks(after, zone)

    def _next_in_real_time(self, after: datetime, zone: tzinfo) -> datetime | None:
        moment = after.replace(second=0, microsecond=0) + _MINUTE
        while moment - after < _LONGEST_WAIT:
            wall = moment.astimezone(zone)
            if not self.falls_on(wall.date()):
                midnight = datetime.combine(wall.date() + timedelta(days=1), time(), zone).astimezone(UTC)
                moment = max(midnight, moment + _MINUTE)
            elif wall.hour not in self.hours:
                moment += _MINUTE * (60 - wall.minute)
            elif wall.minute not in self.minutes:
                moment += _MINUTE
            else:
                return moment
        return None

    def _next_on_clocks(self, after: datetime, zone: tzinfo) -> datetime | None:
        today = after.astimezone(zone).date()
        for days_on in range(_LONGEST_WAIT.days):
            day = today + timedelta(days=days_on)
            if self.falls_on(day):
                times = range(len(self.hours) * len(self.minutes))
                moment_of = partial(self._moment, day, zone)
                first = bisect_right(times, after, key=moment_of)  # moments never fall from one time to the next
                if first < len(times):
                    return moment_of(first)
        return None

    def _moment(self, day: date, zone: tzinfo, number: int) -> datetime:
        """Of this time of the day, from 0 on."""
        hour, minute = divmod(number, len(self.minutes))
        return _moment_at_or_after_a_gap(day, time(self.hours[hour], self.minutes[minute]), zone)

    def falls_on(self, day: date) -> bool:
        """Whether it has times on this day of its timezone."""
        if day.month not in self.months:
            return False
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(matches) if self.both_days_must_match else any(matches)


def parse(text: str) -> Expression:
    """Parses five fields, or a macro such as @daily. Raises ValueError that names the wrong field and its range."""
    fields = _MACROS.get(text.strip().lower(), text).lower().split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"cron {text!r}: expected five fields (minute, hour, day of month, month, day of week), as in "
            f"'0 3 * * mon-fri', or one of {', '.join(_MACROS)}"
        )
    minutes, hours, days, months, weekdays = (
        _values(text, field, given) for field, given in zip(_FIELDS, fields, strict=True)
    )
    return Expression(
        text=text,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(weekday % 7 for weekday in weekdays),
        both_days_must_match=fields[2].startswith("*") or fields[4].startswith("*"),
        follows_real_time=fields[0].startswith("*") or fields[1].startswith("*"),
    )


def zone_of(name: str) -> tzinfo:
    """The timezone. Raises ValueError if the name is unknown here; slim images have no timezones but UTC."""
    if name.upper() == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"timezone={name!r}: not known here; write it as in 'Europe/Berlin', and if the image has no "
            "timezones, add the package tzdata (apt or pip)"
        ) from None


def _moment_at_or_after_a_gap(day: date, at: time, zone: tzinfo) -> datetime:
    """The first time, in UTC, at which clocks in the zone show `at`; if they skip it, the first minute after."""
    wall = datetime.combine(day, at)
    while True:
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        wall += _MINUTE


def _values(text: str, field: _Field, given: str) -> set[int]:
    try:
        return field.values(given)
    except ValueError:
        words = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
        raise ValueError(
            f"cron {text!r}: {field.name} {given!r}: expected *, {field.smallest} to {field.largest}{words}, "
            "ranges (1-5), steps (*/15) or lists (1,15) of these"
        ) from None
