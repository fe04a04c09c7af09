"""The health of the table as a condition and in /metrics, and `jobtide doctor` beside a real API server."""

from __future__ import annotations

import json
import os

import pytest

from jobtide.__main__ import main
from jobtide._version import __version__
from tests.cluster.controllers import condition, until

LABELS = {"app.kubernetes.io/name": "jobtide", "app.kubernetes.io/component": "controller"}


@pytest.fixture
def doctor(plane, kubectl, monkeypatch, capsys):
    """doctor(...): the exit code and the lines about this test's namespace."""
    monkeypatch.setenv("PATH", f"{plane.kubectl.parent}:{os.environ['PATH']}")

    def run(*arguments, kubeconfig=plane.kubeconfig):
        code = main(["doctor", "--json", f"--kubeconfig={kubeconfig}", f"--namespace={kubectl.namespace}", *arguments])
        return code, [
            (one["check"], one["level"], one["text"]) for one in json.loads(capsys.readouterr().out)["checks"]
        ]

    return run


@pytest.fixture
def unvacuumed(jobs):
    """Also where a vacuum ran for another test, whose table it was before."""
    jobs.execute("ALTER TABLE job_queue SET (autovacuum_enabled = off)")
    jobs.execute("SELECT pg_stat_reset_single_table_counters('job_queue'::regclass)")
    yield
    jobs.execute("ALTER TABLE job_queue RESET (autovacuum_enabled)")


def test_the_condition_the_metrics_and_the_doctor_say_the_same(controller, kubectl, pool, server, unvacuumed, doctor):
    kubectl.apply(pool())
    assert ("pool", "error") in [line[:2] for line in doctor("--no-database")[1]], "no controller has reported yet"
    _deploy_controller(kubectl)
    running = controller()
    until(lambda: condition(kubectl, "TableHealthy").get("reason") == "AutovacuumOff")
    found = condition(kubectl, "TableHealthy")
    assert (found["status"], "RESET (autovacuum_enabled)" in found["message"]) == ("False", True)
    assert condition(kubectl, "Ready")["status"] == "True"
    until(lambda: "jobtide_table_bytes{" in running.get("/metrics")[1])
    text = running.get("/metrics")[1]
    assert 'jobtide_table_oldest_snapshot_seconds{database="main"}' in text
    assert f'jobtide_build_info{{version="{__version__}"}} 1.0' in text
    code, lines = doctor("--database-url", server.dsn)
    assert code == 0, lines
    assert ("crd", "ok", f"as {__version__} has it") in lines
    assert any(check == "controller" and level == "ok" and kubectl.namespace in said for check, level, said in lines)
    name = f"{kubectl.namespace}/thumbs: TableHealthy=False AutovacuumOff: "
    (said,) = [said for check, level, said in lines if (check, level) == ("pool", "warning")]
    assert said == name + found["message"]
    (same,) = [said for check, level, said in lines if (check, level) == ("autovacuum", "warning")]
    assert same.endswith(found["message"])
    assert any(check == "clients" and f"jobtide-controller/{__version__}" in said for check, level, said in lines)


def _deploy_controller(kubectl):
    """As the chart labels it; here the controller is a process, so its pod is said to be ready."""
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "controller", "image": "jobtide:1"}]}}
    kubectl.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "jobtide", "labels": LABELS | {"app.kubernetes.io/version": __version__}},
            "spec": {"selector": {"matchLabels": LABELS}, "template": template},
        }
    )
    status = json.dumps({"status": {"replicas": 1, "readyReplicas": 1}})
    kubectl("patch", "deployment/jobtide", "--subresource=status", "--type=merge", "--patch", status)
