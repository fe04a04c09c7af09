"""The simulated cluster behaves like real workers: fair claims, caps, drains, retries."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Key
from jobtide_controller.simulate.trace import Job, Span
from tests.unit.simulate.worlds import START_SECONDS, cluster, oldest_first


def test_a_worker_claims_when_it_is_up_and_not_before():
    made = cluster([Job(0.0, 1.0)], workers=1)
    made.advance(START_SECONDS - 0.1)
    assert (made.ledger.waits, made.oldest_seconds) == ([], pytest.approx(4.9))
    made.advance(START_SECONDS)
    assert made.ledger.waits == [(Key("job", "t1"), START_SECONDS)]


def test_claims_rotate_over_the_tenants():
    jobs = [Job(0.0, 1.0, tenant_id="noisy") for _ in range(100)] + [Job(1.0, 1.0, tenant_id="small")]
    made = cluster(jobs, workers=1, concurrency=1)
    made.advance(10.0)
    assert [key.tenant_id for key, _ in made.ledger.waits][:3] == ["noisy", "small", "noisy"]


def test_a_capped_tenant_runs_no_more_than_its_cap_and_leaves_the_rest_to_others():
    jobs = [Job(0.0, 10.0, tenant_id=tenant) for tenant in ("capped", "free") for _ in range(20)]
    made = cluster(jobs, workers=2, concurrency=4, tenants={"overrides": {"capped": 2}})
    made.advance(6.0)
    running = {key.tenant_id: depth.running for key, depth in made.reading().depths.items()}
    assert running == {"capped": 2, "free": 6}


def test_a_capped_tenant_continues_as_soon_as_one_of_its_jobs_ends():
    made = cluster([Job(0.0, 2.0) for _ in range(3)], workers=1, tenants={"maxConcurrent": 1})
    made.advance(100.0)
    assert [wait for _, wait in made.ledger.waits] == [5.0, 7.0, 9.0]


def test_a_scheduled_job_is_later_until_it_falls_due():
    made = cluster([Job(0.0, 1.0, due_at=60.0)], workers=1)
    made.advance(59.0)
    depth = made.reading().depths[Key("job", "t1")]
    assert (depth.later, depth.due, depth.next_due_at) == (1, 0, 60.0)
    made.advance(60.0)
    assert made.ledger.waits == [(Key("job", "t1"), 0.0)]


def test_a_stopped_worker_finishes_its_jobs_claims_no_more_and_costs_until_then():
    made = cluster([Job(0.0, 10.0), Job(6.0, 10.0)], workers=1, concurrency=1)
    made.advance(7.0)
    made.scale(0, oldest_first)
    made.advance(100.0)
    assert (made.ledger.busy_stopped, len(made.ledger.waits), made.workers) == (1, 1, [])
    assert made.ledger.worker_seconds == 15.0


def test_a_worker_removed_while_it_starts_costs_until_its_removal():
    made = cluster([], workers=1)
    made.advance(3.0)
    made.scale(0, oldest_first)
    made.advance(10.0)
    assert made.closed().worker_seconds == 3.0


def test_failed_attempts_back_off_until_none_is_left():
    made = cluster(
        [Job(0.0, 1.0)], workers=1, failing=(Span(0.0, 1_000.0),), retry={"maxAttempts": 3, "baseSeconds": 2}
    )
    made.advance(500.0)
    assert (len(made.ledger.waits), made.ledger.failed, made.is_over) == (3, 1, True)


def test_arrivals_are_counted_once_from_reading_to_reading():
    made = cluster([Job(float(second), 1.0) for second in range(4)])
    counts = []
    for moment in (1.5, 1.6, 9.0):
        made.advance(moment)
        counts.append(made.reading().depths[Key("job", "t1")].arrivals)
    assert counts == [2, 0, 2]


def test_a_key_with_nothing_left_is_no_longer_read():
    made = cluster([Job(0.0, 1.0)], workers=1)
    made.advance(50.0)
    made.reading()
    assert made.reading().depths == {}
