"""A worker's counters are 0 before anything happened: of one that begins at 1, the first increase is never seen."""

from __future__ import annotations

import pytest

from jobtide.job import End
from jobtide.telemetry import events
from jobtide.telemetry.metrics import Metrics

STARTED = events.Started("jobs:tide", ("mail.send", "thumbs"), 4, "uid")


@pytest.fixture
def metrics():
    metrics = Metrics()
    metrics.on_event(STARTED)
    return metrics


def values(metrics):
    return dict(line.rsplit(" ", 1) for line in metrics.render().splitlines() if not line.startswith("#"))


@pytest.mark.parametrize("reason", ["completed", "failed", "retried", "returned", "snoozed"])
def test_every_outcome_of_every_type_begins_at_zero(metrics, job, reason):
    series = f'jobtide_worker_jobs_total{{outcome="{reason}",type="mail.send"}}'
    assert values(metrics)[series] == "0"
    metrics.on_event(events.Handled(End(job, "completed", reason=reason), 0.1))
    assert values(metrics)[series] == "1"
    assert values(metrics)[series.replace("mail.send", "thumbs")] == "0"


HAPPENS = {
    'leases_lost_total{during="extend"}': lambda job: events.LeaseLost(job, "extend"),
    'leases_lost_total{during="finish"}': lambda job: events.LeaseLost(job, "finish"),
    'leases_lost_total{during="look"}': lambda job: events.LeaseLost(job, "look"),
    'rescued_total{why="lease_expired"}': lambda _: events.RescuedJobs(1, "lease_expired"),
    'rescued_total{why="own_pod"}': lambda _: events.RescuedJobs(1, "own_pod"),
    'suspects_total{how="alone"}': lambda job: events.RunsApart(job, "alone"),
    'suspects_total{how="in a process"}': lambda job: events.RunsApart(job, "in a process"),
    'rows_refused_total{during="claim"}': lambda job: events.RowLeft(str(job.id), "claim", "no", job),
    'rows_refused_total{during="extend"}': lambda job: events.RowLeft(str(job.id), "extend", "no", job),
    'rows_refused_total{during="finish"}': lambda job: events.RowLeft(str(job.id), "finish", "no", job),
    'rows_refused_total{during="rescue"}': lambda job: events.RowLeft(str(job.id), "rescue", "no"),
    'database_lost_total{doing="claim"}': lambda _: events.DatabaseLost("claim", "refused", "unreachable"),
    'database_lost_total{doing="finish"}': lambda _: events.DatabaseLost("finish", "refused", "unreachable"),
    'timeouts_total{type="mail.send"}': lambda job: events.Overdue(job, 3.0),
    "claims_total": lambda job: events.Claimed([job], 0.1),
    "claimed_jobs_total": lambda job: events.Claimed([job], 0.1),
}


@pytest.mark.parametrize("series", HAPPENS)
def test_what_seldom_happens_begins_at_zero(metrics, job, series):
    assert values(metrics)[f"jobtide_worker_{series}"] == "0"
    metrics.on_event(HAPPENS[series](job))
    assert values(metrics)[f"jobtide_worker_{series}"] == "1"
