"""Filters of `jobtide jobs`, as texts of a command or a URL: what they mean, and what is refused with what to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from jobtide.operate.filters import CHANGES, FilterRefused, JobFilter

NOW = datetime(2026, 11, 29, 2, tzinfo=UTC)
ID = str(UUID(int=7))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("0s", NOW),
        ("999999999d", NOW - timedelta(days=36_500)),
        ("2026-11-29T01:00Z", NOW - timedelta(hours=1)),
        ("2026-11-29 01:00", NOW - timedelta(hours=1)),
        ("2026-11-29T02:00+01:00", NOW - timedelta(hours=1)),
        ("2026-11-28", datetime(2026, 11, 28, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_age_or_iso_8601_in_utc_unless_it_names_a_zone(text, moment):
    assert JobFilter.of({"since": text}, NOW).since == moment


def test_a_filter_and_its_texts_are_equal():
    east = datetime(2026, 11, 29, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    which = JobFilter(type="a b", tenant=UUID(int=1), status="failed", error="x", since=east, until=NOW)
    assert JobFilter.of(which.to_json(), NOW) == which
    assert JobFilter.of({"id": ID, "type": "", "status": ""}, NOW) == JobFilter(id=UUID(ID))


@pytest.mark.parametrize(
    ("values", "field", "fix"),
    [
        ({"kind": "t"}, "kind", "use one of type, tenant"),
        ({"status": "done"}, "status", "use one of pending, processing, completed, failed"),
        ({"tenant": "acme"}, "tenant", "give the UUID"),
        ({"id": "7"}, "id", "give the UUID"),
        ({"since": "yesterday"}, "since", "give an age, as in 15m"),
        ({"since": "-5m"}, "since", "give an age"),
        ({"until": "0001-01-01T00:00+23:00"}, "until", "give an age"),
        ({"since": "1h", "until": "1h"}, "until", "give a later time"),
        ({"error": "x", "status": "completed"}, "error", "use --status failed or"),
        ({"type": "a\x00b"}, "type", "give up to 1000 characters of text"),
        ({"type": "\ud800"}, "type", "give up to 1000 characters"),
        ({"error": "x" * 1_001}, "error", "give up to 1000 characters"),
        ({"id": ID, "type": "t"}, "id", "leave out --type"),
        ({"id": ID, "status": "failed", "since": "1h"}, "id", "leave out --since"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_what_to_write(values, field, fix):
    with pytest.raises(FilterRefused) as refused:
        JobFilter.of(values, NOW)
    assert refused.value.field == field
    assert refused.value.fix.startswith(fix)
    assert set(refused.value.to_json()) == {"field", "value", "why", "fix"}
    str(refused.value).encode()


@pytest.mark.parametrize(
    ("verb", "which", "field"),
    [
        ("retry", JobFilter(type="t", status="pending"), "status"),
        ("cancel", JobFilter(type="t", status="completed"), "status"),
        ("run-now", JobFilter(type="t", status="processing"), "status"),
        ("purge", JobFilter(until=NOW, status="pending"), "status"),
        ("purge", JobFilter(type="t"), "until"),
        *((verb, JobFilter(), "until" if verb == "purge" else "type") for verb in CHANGES),
        ("retry", JobFilter(status="failed"), "type"),
    ],
)
def test_a_change_is_refused_that_would_do_nothing_or_concern_every_job(verb, which, field):
    with pytest.raises(FilterRefused) as refused:
        which.check_change(verb)
    assert refused.value.field == field


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_with_an_id_or_a_condition_is_accepted(verb):
    JobFilter(id=UUID(ID)).check_change(verb)
    JobFilter(type="t", until=NOW).check_change(verb)


def test_a_search_for_an_error_leaves_out_jobs_that_have_none():
    assert JobFilter(error="x").statuses() == ("pending", "processing", "failed")
    assert JobFilter(error="x", until=NOW).statuses("purge") == ("failed",)
