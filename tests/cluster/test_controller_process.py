"""The whole controller as a process, between a real API server and a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from dev.machine.private import write_private
from dev.postgres.server import Server
from dev.tools.toolchain import ensure_tools
from jobtide.schema import apply
from tests.cluster.controllers import condition, holder, until

CHART = Path(__file__).parents[2] / "charts" / "jobtide"
POD = "11111111-2222-3333-4444-555555555555"


def test_jobs_start_workers_and_the_pool_explains_why(controller, kubectl, pool, insert, replicas):
    kubectl.apply(pool())
    controller()
    until(lambda: replicas() == 0)
    insert(8)
    until(lambda: (replicas() or 0) >= 2)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    until(lambda: kubectl.get("jobworkerpool", "thumbs")["status"].get("pending") == 8)
    until(lambda: "ScaledUp" in kubectl("describe", "jobworkerpool", "thumbs"))


def test_an_unreachable_database_holds_the_fleet_and_is_a_condition(
    controller, kubectl, pool, insert, replicas, folder, server
):
    kubectl.apply(pool(database="second"))
    (folder / "second").mkdir()
    with Server(version=18) as second:
        apply(second.dsn)
        (folder / "second" / "url").write_text(second.dsn)
        controller()
        with psycopg.connect(second.dsn, autocommit=True) as conn:
            conn.execute(
                "WITH t AS (INSERT INTO tenants (name) VALUES ('x') RETURNING id) "
                "INSERT INTO job_queue (type, tenant_id, payload) "
                "SELECT 'thumbs', id, '{}' FROM t, generate_series(1, 8)"
            )
        held = until(lambda: replicas() or 0)
        second.stop("immediate")
        until(lambda: condition(kubectl, "DatabaseReachable").get("reason") == "Unreachable")
        until(lambda: "refused" in condition(kubectl, "DatabaseReachable")["message"])
        assert condition(kubectl, "DatabaseReachable")["status"] == "False"
        assert replicas() == held
        second.start()
        until(lambda: condition(kubectl, "DatabaseReachable").get("status") == "True")


def test_a_pool_of_an_unknown_database_lists_those_that_its_namespace_may_use(controller, kubectl, pool, folder):
    kubectl.apply(pool(database="crm"))
    (folder / "payroll").mkdir()
    (folder / "payroll" / "url").write_text("postgresql://127.0.0.1:1/payroll")
    controller(JOBTIDE_DATABASE_NAMESPACES='{"payroll": ["finance"]}')
    until(lambda: condition(kubectl, "DatabaseReachable").get("reason") == "DatabaseNotConfigured")
    message = condition(kubectl, "DatabaseReachable")["message"]
    assert f"databases that namespace {kubectl.namespace} may use: main;" in message
    assert "delete the pool and create it again" in message


def test_jobs_of_a_pod_that_never_existed_here_are_requeued(controller, kubectl, pool, insert, jobs):
    kubectl.apply(pool())
    insert(5, status="processing", worker_id=f"jobtide:{POD}:1")
    insert(1, status="processing", worker_id="jobtide:local-12ab:1")
    controller()
    count = "SELECT count(*) FROM job_queue WHERE status = 'pending' AND attempts = 0"
    until(lambda: jobs.execute(count).fetchone() == (5,))


def test_jobs_of_a_deleted_worker_pod_are_requeued(controller, kubectl, pool, insert, jobs):
    kubectl.apply(pool())
    labels = {
        "app.kubernetes.io/name": "jobtide-worker",
        "app.kubernetes.io/managed-by": "jobtide",
        "jobtide.dev/pool": "thumbs",
    }
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": labels},
        "spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}], "terminationGracePeriodSeconds": 0},
    }
    kubectl.apply(made)
    uid = kubectl.get("pod", "a")["metadata"]["uid"]
    running = controller()
    until(lambda: holder(kubectl) == "jobtide-0")
    insert(3, status="processing", worker_id=f"jobtide:{uid}:1")
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    kubectl("delete", "pod", "a", "--grace-period=0", "--force")
    until(lambda: jobs.execute("SELECT count(*) FROM job_queue WHERE status = 'pending'").fetchone() == (3,))
    assert "attempt not counted" in running.words


def test_probes_and_metrics_are_served(controller, kubectl, pool):
    kubectl.apply(pool())
    running = controller()
    until(lambda: holder(kubectl) == "jobtide-0" and condition(kubectl, "Ready"))
    assert running.get("/healthz")[0] == 200
    assert running.get("/readyz") == (200, "ok\n")
    status, text = running.get("/metrics")
    assert status == 200
    assert "jobtide_leader 1.0" in text
    assert f'jobtide_pool_desired_replicas{{namespace="{kubectl.namespace}",pool="thumbs"}}' in text


def test_invalid_settings_end_the_process_with_one_sentence(controller):
    broken = controller(JOBTIDE_HTTP_PORT="many")
    assert broken.process.wait(30) == 2
    assert broken.words == 'jobtide-controller: JOBTIDE_HTTP_PORT is "many": use a whole number from 0 to 65535\n'


@pytest.mark.parametrize("scope", ["one namespace", "all namespaces"])
def test_the_rights_in_the_chart_are_sufficient(controller, kubectl, plane, pool, insert, replicas, tmp_path, scope):
    helm = ensure_tools("helm")["helm"]
    namespaces = kubectl.namespace if scope == "one namespace" else ""
    values = [f"--set=watchNamespaces={{{namespaces}}}"] if namespaces else []
    rendered = subprocess.run(
        [helm, "template", "jobtide", CHART, f"--namespace={kubectl.namespace}", *values]
        + [f"--show-only=templates/{name}.yaml" for name in ("rbac", "serviceaccount")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    kubectl("apply", "-f", "-", stdin=rendered.stdout)
    token = kubectl("create", "token", "jobtide", "--duration=1h").strip()
    config = json.loads(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    limited = tmp_path / "limited"
    write_private(limited, json.dumps(config))
    kubectl.apply(pool())
    insert(8)
    running = controller(KUBECONFIG=str(limited), JOBTIDE_NAMESPACES=namespaces)
    until(lambda: (replicas() or 0) >= 2)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    until(lambda: "ScaledUp" in kubectl("describe", "jobworkerpool", "thumbs"))
    kubectl.apply(pool(replicas=0))
    until(lambda: replicas() == 0)
    assert "orbidden" not in running.words
