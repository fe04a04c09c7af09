"""Ten thousand tenants with scheduled jobs only: an idle poll does not walk from tenant to tenant."""

from __future__ import annotations

import pytest

from jobtide.queue.caps import TenantCaps
from jobtide.queue.idle_look import IdleLook
from jobtide.queue.ring import Ring
from tests.postgres.worker.test_plans import explain, lap, pages

TENANTS = 3_000
RING = Ring(("a", "b"))


@pytest.fixture
def scheduled(connect) -> None:
    connection = connect()
    connection.execute("INSERT INTO tenants (name) SELECT 'n' || n FROM generate_series(1, %s) AS n", [TENANTS])
    connection.execute(
        "INSERT INTO job_queue (tenant_id, type, next_retry_at) SELECT id, 'a', now() + interval '1 h' FROM tenants"
    )
    connection.execute("VACUUM ANALYZE job_queue")


@pytest.fixture
def idle(queue, scheduled):
    """A queue that has found out that a look is cheaper than a walk."""
    idle = queue()
    for _ in range(3):
        assert idle.claim(RING, 10, 10).drained
    assert idle._idle_look.is_worth(float("inf"))
    return idle


@pytest.mark.parametrize("plan_cache_mode", ["force_custom_plan", "force_generic_plan"])
def test_a_look_reads_the_index_once_where_a_claim_probes_it_for_each_tenant(scheduled, connect, plan_cache_mode):
    connection = connect(autocommit=False)
    look = pages(explain(connection, "any_due", {"types": ["a", "b"]}, plan_cache_mode))
    claim = pages(explain(connection, "claim", lap(RING.lap(), 10), plan_cache_mode))
    assert look <= TENANTS / 25
    assert claim >= 2 * TENANTS


def test_a_job_of_a_new_tenant_is_found_by_the_next_poll(idle, enqueue, tenant):
    id_ = enqueue("a", tenant("new"))
    assert [job.id for job in idle.claim(RING, 10, 10).jobs] == [id_]


def test_a_scheduled_job_is_found_by_the_first_poll_after_it_falls_due(idle, connect):
    connection = connect()
    (id_,) = connection.execute(
        "UPDATE job_queue SET next_retry_at = now() WHERE id = (SELECT id FROM job_queue LIMIT 1) RETURNING id"
    ).fetchone()
    assert [job.id for job in idle.claim(RING, 10, 10).jobs] == [id_]


def test_a_slow_look_that_found_a_job_is_not_repeated_before_the_next_claim(queue, enqueue, tenant):
    """Dead rows make a look slow, and in a busy queue each look finds a job behind them."""
    busy, owner, looks = queue(), tenant(), []
    busy._idle_look.looked = lambda seconds, now: (looks.append(seconds), IdleLook.looked(busy._idle_look, 1.0, now))
    for _ in range(3):
        id_ = enqueue("a", owner)
        busy._idle_look.walked(0.01, drained=True)
        assert [job.id for job in busy.claim(RING, 10, 10).jobs] == [id_]
    assert len(looks) == 1


def test_a_job_of_another_type_is_found_too(idle, enqueue, tenant):
    id_ = enqueue("b", tenant("new"), created_at=None)
    assert [job.id for job in idle.claim(RING, 10, 10).jobs] == [id_]


def test_a_look_that_finds_a_job_of_a_tenant_at_its_cap_claims_nothing(queue, scheduled, enqueue, tenant):
    capped, busy = queue(caps=TenantCaps(1, {})), tenant("busy")
    capped._idle_look = always = IdleLook()
    always.walked(1.0, drained=True)
    first, _ = enqueue("a", busy), enqueue("a", busy)
    assert [job.id for job in capped.claim(RING, 1, 1).jobs] == [first]
    always.walked(1.0, drained=True)
    assert capped.claim(RING, 1, 1).jobs == []
