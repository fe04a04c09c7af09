"""A tenant is paused and resumed while jobs run: at once, and by workers that run already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import UUID, uuid4

from dev.stage.job_table import NewJob
from tests.e2e.work import Work, wait_for

HOLDS_AFTER_SECONDS = 5.0  # 2 are promised
AT_ONCE_SECONDS = 10.0  # machines that run tests stand still at times; the jobs take longer
JOBS, JOB_SECONDS = 400, 0.2
TYPE = "limits.hold"
STARTED = """
SELECT tenant_id, max(extract(EPOCH FROM t.at))::float8, count(*), extract(EPOCH FROM clock_timestamp())::float8
FROM jobtide_demo.transitions AS t JOIN job_queue AS q ON q.id = t.job_id
WHERE t.became = 'processing' AND q.tenant_id = ANY(%s) GROUP BY tenant_id
"""
VIEW = """
CREATE OR REPLACE VIEW job_tenant_limits AS
SELECT id AS tenant_id, NULL::text AS type, 0 AS max_concurrent, NULL::int AS weight, NULL::timestamptz AS until
FROM tenants WHERE name LIKE 'demo tenant % suspended'
"""


def test_a_tenant_is_paused_while_jobs_run_and_no_pod_is_replaced(work: Work) -> None:
    (other,) = work.table.add_tenants([f"{work.namespace}-other"])
    work.apply_pool("limits", [TYPE], minReplicas=1, concurrency=2)
    wait_for("a ready worker", work.ready_pods)
    jobs = [
        NewJob(uuid4(), owner, TYPE, {"seconds": JOB_SECONDS}) for _ in range(JOBS) for owner in (work.tenant, other)
    ]
    work.table.insert(jobs)
    wait_for("jobs of both tenants being started", lambda: len(started(work, other)) == 2)
    pods = pod_uids(work)

    patch(work, {"overrides": {str(work.tenant): 0}})
    paused_at = now(work)
    wait_for("a while in which jobs of the other one alone are started", lambda: alone_seconds(work, other) > 4)
    assert started(work, other)[work.tenant][0] < paused_at + AT_ONCE_SECONDS
    wait_for("the status saying so", lambda: shown(work).get("maxConcurrent") == 0)

    count = started(work, other)[work.tenant][1]
    patch(work, {"overrides": {str(work.tenant): None}})
    wait_for("its jobs being started again", lambda: started(work, other)[work.tenant][1] > count)
    assert pod_uids(work) == pods


def test_a_tenant_is_paused_by_a_view_of_the_users_own_data(work: Work) -> None:
    (other,) = work.table.add_tenants([f"{work.namespace} suspended"])
    with work.stage.postgres.connect("main") as conn:
        conn.execute(VIEW)
        conn.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    try:
        work.apply_pool("limits", [TYPE], minReplicas=1)
        wait_for("a ready worker", work.ready_pods)
        work.wait_condition("limits", "LimitsCurrent", "True", "Current")
        wait_for("the tenant's limit being stored", lambda: is_stored(work, other))
        stored_at = now(work)
        wait_for("the time in which a change must hold", lambda: now(work) > stored_at + HOLDS_AFTER_SECONDS)
        held = NewJob(uuid4(), other, TYPE, {"seconds": 0})
        work.table.insert([held])
        (free,) = work.insert(TYPE, {"seconds": 0})
        work.wait_completed(free)
        assert started(work, other).keys() == {work.tenant}
        with work.stage.postgres.connect("main") as conn:
            conn.execute("UPDATE tenants SET name = replace(name, ' suspended', ' active') WHERE id = %s", [other])
        wait_for("the job of the tenant that is active again", lambda: other in started(work, other))
    finally:
        with work.stage.postgres.connect("main") as conn:
            conn.execute("DROP VIEW job_tenant_limits")


def is_stored(work: Work, tenant: UUID) -> bool:
    with work.stage.postgres.connect("main") as conn:
        rows = conn.execute("SELECT FROM jobtide_tenant_limits WHERE tenant_id = %s", [tenant]).fetchall()
    return len(rows) == 1


def started(work: Work, other: UUID) -> Mapping[UUID, tuple[float, int]]:
    """By tenant, when its last job was started, by the database's clock, and how many were."""
    with work.stage.postgres.connect("main") as conn:
        rows = conn.execute(STARTED, [[work.tenant, other]]).fetchall()
    return {owner: (at, count) for owner, at, count, _ in rows}


def alone_seconds(work: Work, other: UUID) -> float:
    """The time between the last start of the work's own tenant and the last start of the other one."""
    seen = started(work, other)
    return seen[other][0] - seen[work.tenant][0]


def now(work: Work) -> float:
    with work.stage.postgres.connect("main") as conn:
        (row,) = conn.execute("SELECT extract(EPOCH FROM clock_timestamp())::float8").fetchall()
    return float(row[0])


def patch(work: Work, tenants: Mapping[str, object]) -> None:
    work.kubectl("patch", "jwp", "limits", "--type=merge", "--patch", json.dumps({"spec": {"tenants": tenants}}))


def pod_uids(work: Work) -> set[str]:
    return {pod["metadata"]["uid"] for pod in work.pods()}


def shown(work: Work) -> Mapping[str, object]:
    status = work.kubectl_json("get", "jwp", "limits").get("status", {})
    return next((one for one in status.get("tenants", ()) if one["tenant"] == str(work.tenant)), {})
