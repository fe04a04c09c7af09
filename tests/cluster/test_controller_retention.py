"""Ended jobs go after their time, and types without a pool are named: on a real API server, beside a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

from tests.cluster.controllers import condition, until

DAY = 86_400


def top(kubectl) -> str:
    """What `kubectl jobtide top` prints."""
    command = [sys.executable, "-m", "jobtide_controller.plugin", "top", "-n", kubectl.namespace]
    environment = {
        **os.environ,
        "PATH": f"{kubectl.binary.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubectl.kubeconfig),
    }
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout


def aged(jobs, days):
    """All jobs are so old; those that have ended, ended then."""
    jobs.execute(
        "UPDATE job_queue SET created_at = at, completed_at = CASE WHEN status IN ('completed', 'failed') THEN at END "
        "FROM (SELECT now() - %s * interval '1 day' AS at) AS moment",
        [days],
    )


def test_old_ended_jobs_are_deleted_and_the_status_has_the_last_pass(controller, kubectl, pool, insert, jobs):
    for status, number in (("completed", 700), ("failed", 5), ("pending", 2)):
        insert(number, status=status)
    aged(jobs, 8)
    insert(3, status="completed")
    assert kubectl.apply(pool(retention={"completedSeconds": 7 * DAY}, paused=True)).returncode == 0
    running = controller()

    def retention():
        return kubectl.get("jobworkerpool", "thumbs").get("status", {}).get("retention", {})

    until(lambda: retention().get("deleted") == 700)
    assert retention()["time"]
    assert retention()["message"] == ""
    left = jobs.execute("SELECT status::text, count(*) FROM job_queue GROUP BY status ORDER BY 1").fetchall()
    assert left == [("completed", 3), ("failed", 5), ("pending", 2)]
    assert 'jobtide_deleted_jobs_total{database="main",status="completed"} 700.0' in running.get("/metrics")[1]

    patch = ("patch", "jobworkerpool", "thumbs", "--type=merge", "--patch")
    kubectl(*patch, '{"spec":{"retention":{"failedSeconds":86400}}}')
    until(lambda: jobs.execute("SELECT count(*) FROM job_queue WHERE status = 'failed'").fetchone() == (0,))
    kubectl(*patch, '{"spec":{"retention":null}}')
    until(lambda: not retention())


def test_a_type_without_a_pool_is_named_by_status_event_metric_and_top(
    controller, kubectl, pool, insert, jobs, anywhere
):
    other = replace(anywhere, namespace=f"{kubectl.namespace}-other")
    anywhere("create", "namespace", other.namespace)
    insert(12, type_="vidoe")
    aged(jobs, 1)
    assert kubectl.apply(pool()).returncode == 0
    assert kubectl.apply(pool("video", types=["video"])).returncode == 0
    assert other.apply(pool("spy", types=["vidoe"])).returncode == 0
    running = controller(
        JOBTIDE_NAMESPACES=f"{kubectl.namespace},{other.namespace}",
        JOBTIDE_DATABASE_NAMESPACES=json.dumps({"main": [kubectl.namespace]}),
    )

    def unserved(name):
        return kubectl.get("jobworkerpool", name).get("status", {}).get("unserved", [])

    until(lambda: [one["type"] for one in unserved("thumbs")] == ["vidoe"])
    assert unserved("video") == []
    assert "main      vidoe                     12" in top(kubectl)
    assert 'jobtide_unserved_jobs{database="main",type="vidoe"} 12.0' in running.get("/metrics")[1]
    until(lambda: "TypesUnserved" in kubectl("get", "events.events.k8s.io"))
    events = json.loads(kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
    (named,) = [one for one in events if one["reason"] == "TypesUnserved"]
    assert (named["type"], named["regarding"]["name"]) == ("Warning", "thumbs")
    assert "jobs of 'vidoe' (12) wait in database main" in named["note"]

    until(lambda: condition(other, "Ready", "spy").get("reason") == "NamespaceNotAllowed")
    assert other.get("jobworkerpool", "spy")["status"]["unserved"] == []
    assert "TypesUnserved" not in other("get", "events.events.k8s.io")
    assert condition(kubectl, "Ready")["status"] == "True"
