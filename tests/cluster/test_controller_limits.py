"""Limits of tenants reach the table of a real PostgreSQL and change no Deployment of a real API server.

tests/e2e/test_limits.py has the time that it takes.
"""

from __future__ import annotations

import json

import pytest

from tests.cluster.controllers import until

OWNER = "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10"
VIEW = """CREATE VIEW job_tenant_limits AS
SELECT '0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10'::uuid AS tenant_id, NULL::text AS type, most AS max_concurrent,
  NULL::int AS weight, NULL::timestamptz AS until FROM plans"""


@pytest.fixture
def limits(jobs, kubectl):
    """limits(): what is stored for the pool `thumbs` and for all pools, by pool."""
    jobs.execute("TRUNCATE jobtide_pool_limits, jobtide_tenant_limits")

    def read():
        rows = jobs.execute("SELECT pool, max_concurrent FROM jobtide_tenant_limits WHERE tenant_id = %s", [OWNER])
        return {pool.removeprefix(f"{kubectl.namespace}/"): most for pool, most in rows}

    yield read
    jobs.execute("DROP VIEW IF EXISTS job_tenant_limits")
    jobs.execute("DROP TABLE IF EXISTS plans")


def patch(kubectl, tenants):
    kubectl("patch", "jwp", "thumbs", "--type=merge", "--patch", json.dumps({"spec": {"tenants": tenants}}))


def condition(kubectl):
    found = kubectl.get("jwp", "thumbs").get("status", {}).get("conditions", ())
    return next(((one["status"], one["reason"]) for one in found if one["type"] == "LimitsCurrent"), None)


def test_a_tenant_is_paused_and_the_deployment_stays_as_it_is(controller, kubectl, pool, limits):
    controller()
    kubectl.apply(pool(tenants={"maxConcurrent": 4}, minReplicas=1))
    until(lambda: kubectl.run("get", "deployment", "thumbs-worker").returncode == 0)
    until(lambda: condition(kubectl) == ("True", "Current"))
    before = kubectl.get("deployment", "thumbs-worker")
    patch(kubectl, {"overrides": {OWNER: 0}})
    until(lambda: limits() == {"thumbs": 0})
    patch(kubectl, {"maxConcurrent": 7, "overrides": None})
    until(lambda: limits() == {})
    after = kubectl.get("deployment", "thumbs-worker")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_view_is_followed_and_when_it_breaks_its_limits_hold(controller, kubectl, pool, limits, jobs):
    jobs.execute("CREATE TABLE plans (most int); INSERT INTO plans VALUES (3)")
    jobs.execute(VIEW)
    jobs.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    controller()
    kubectl.apply(pool())
    until(lambda: limits() == {"": 3})
    jobs.execute("UPDATE plans SET most = 0")
    until(lambda: limits() == {"": 0})
    jobs.execute("UPDATE plans SET most = -1")
    until(lambda: condition(kubectl) == ("False", "ViewWrong"))
    assert limits() == {"": 0}
    jobs.execute("UPDATE plans SET most = 5")
    until(lambda: condition(kubectl) == ("True", "Current"))
    assert limits() == {"": 5}


def test_limits_go_with_their_pool(controller, kubectl, pool, limits, jobs):
    controller()
    kubectl.apply(pool(tenants={"overrides": {OWNER: 2}}))
    until(lambda: limits() == {"thumbs": 2})
    kubectl("delete", "jwp", "thumbs", "--wait=true")
    until(lambda: limits() == {})
    assert jobs.execute("SELECT count(*) FROM jobtide_pool_limits WHERE pool <> ''").fetchone() == (0,)
