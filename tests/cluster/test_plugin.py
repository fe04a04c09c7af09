"""`kubectl jobtide` against a real API server, with a viewer's rights and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dev.machine.private import write_private
from jobtide.__main__ import main as jobtide
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.scaling import decide
from jobtide_controller.plugin import cluster
from jobtide_controller.plugin.command import main
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context

NOW = 1_800_000_000.0
TENANT = "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10"
DEPTHS = {Key("thumbs", TENANT): Depth(due=400, running=92, oldest_age_seconds=19, mean_age_seconds=9)}

# Verbs and resources of the chart's aggregated role `view`; that the chart renders just these is tested elsewhere.
VIEWER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pools-viewer}
rules:
  - apiGroups: [jobtide.dev]
    resources: [jobworkerpools, jobworkerpools/status, jobworkerpools/scale]
    verbs: [get, list, watch]
"""


@dataclass(frozen=True, slots=True)
class Viewer:
    """kubectl with our plugin on the PATH, as a user who may only view pools."""

    kubectl: Path
    kubeconfig: Path
    plugins: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.plugins}:{self.kubectl.parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kubeconfig),
        }
        command = [str(self.kubectl), "jobtide", *arguments]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


@pytest.fixture(scope="module")
def viewer_of(plane, anywhere, tmp_path_factory) -> Callable[[str], Viewer]:
    anywhere("apply", "-f", "-", stdin=VIEWER)
    plugins = tmp_path_factory.mktemp("plugins")
    program = plugins / "kubectl-jobtide"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m jobtide_controller.plugin "$@"\n')
    program.chmod(0o755)

    def make(namespace: str) -> Viewer:
        """Its service account's only right is to view pools in this namespace, which is the context's."""
        anywhere("-n", namespace, "create", "serviceaccount", "viewer")
        anywhere(
            "-n", namespace, "create", "rolebinding", "viewer",
            "--clusterrole=pools-viewer", f"--serviceaccount={namespace}:viewer",
        )  # fmt: skip
        token = anywhere("-n", namespace, "create", "token", "viewer").strip()
        configuration = yaml.safe_load(plane.kubeconfig.read_text())
        for context in configuration["contexts"]:
            context["context"]["namespace"] = namespace
        for one in configuration["users"]:
            one["user"] = {"token": token}
        file = tmp_path_factory.mktemp("kubeconfig") / "viewer"
        write_private(file, yaml.safe_dump(configuration))
        return Viewer(plane.kubectl, file, plugins)

    return make


@pytest.fixture
def viewer(kubectl, viewer_of) -> Viewer:
    return viewer_of(kubectl.namespace)


def _report(kubectl, depths) -> int:
    """What the controller would write; the number of workers that it decided on."""
    stored = JobWorkerPool.model_validate(kubectl.get("jwp", "thumbs"))
    reading, fleet = Reading(NOW, depths), Fleet(current_replicas=3)
    decision = decide(stored.spec, reading, fleet, History(), NOW)
    written = status.render(stored, reading, fleet, decision, Context(), None, NOW)
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", json.dumps({"status": written}))
    return decision.replicas


def test_a_viewer_reads_why(kubectl, pool, viewer):
    kubectl.apply(pool(maxReplicas=40))
    replicas = _report(kubectl, DEPTHS)
    shown = viewer("why", "thumbs")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"\ndesired   {replicas} workers; " in shown.stdout
    assert "ColdStart  how long such jobs take is not known yet" in shown.stdout


def test_a_viewer_reads_the_depth_per_type_and_tenant(kubectl, pool, viewer):
    kubectl.apply(pool())
    _report(kubectl, DEPTHS)
    lines = [line.split() for line in viewer("top").stdout.splitlines()]
    assert ["thumbs", "thumbs", "400", "0", "92", "19s", "1m", "1", "-"] in lines
    assert ["thumbs", TENANT, "400", "92", "19s", "-"] in lines


def test_a_pool_without_a_status_says_so(kubectl, pool, viewer):
    kubectl.apply(pool())
    assert "no controller has reported on this pool yet" in viewer("why", "thumbs").stdout


def test_a_pool_that_does_not_exist_names_those_that_do(kubectl, pool, viewer):
    kubectl.apply(pool("video"))
    shown = viewer("why", "thumbs")
    assert shown.returncode == 1
    assert shown.stderr == (
        'Error from server (NotFound): jobworkerpools.jobtide.dev "thumbs" not found\n'
        "kubectl jobtide: pools in this namespace: video; -n chooses another namespace\n"
    )


@pytest.mark.parametrize(
    ("arguments", "scope"),
    [
        pytest.param(["why", "thumbs", "-n", "default"], 'in the namespace "default"', id="elsewhere"),
        pytest.param(["top", "-A"], "at the cluster scope", id="everywhere"),
    ],
)
def test_a_viewer_of_one_namespace_sees_which_right_is_missing(viewer, arguments, scope):
    shown = viewer(*arguments)
    assert shown.returncode == 1
    refusal, advice = shown.stderr.splitlines()
    assert refusal.startswith("Error from server (Forbidden): ")
    assert refusal.endswith(scope)
    assert advice.startswith("kubectl jobtide: ask for the role `view`; ")


@pytest.mark.parametrize(
    ("change", "message", "advice"),
    [
        pytest.param(
            {"server": "http://127.0.0.1:1", "certificate-authority-data": None},
            "The connection to the server 127.0.0.1:1 was refused",
            "check the network, KUBECONFIG and --context",
            id="unreachable",
        ),
        pytest.param({}, "You must be logged in to the server", "log in again, or choose another", id="not-logged-in"),
    ],
)
def test_a_kubeconfig_that_does_not_work_shows_the_message_of_kubectl(viewer, change, message, advice):
    configuration = yaml.safe_load(viewer.kubeconfig.read_text())
    configuration["clusters"][0]["cluster"] |= change
    configuration["users"][0]["user"] = {"token": "expired"}
    viewer.kubeconfig.write_text(yaml.safe_dump(configuration))
    shown = viewer("top")
    assert shown.returncode == 1
    assert message in shown.stderr
    assert shown.stderr.splitlines()[-1].startswith(f"kubectl jobtide: {advice}")


def test_a_resource_that_the_cluster_does_not_have_means_that_jobtide_is_not_installed(plane, capfd, monkeypatch):
    monkeypatch.setattr(cluster, "RESOURCE", "jobworkerpools.v9.jobtide.dev")
    monkeypatch.setenv("PATH", f"{plane.kubectl.parent}:{os.environ['PATH']}")
    assert main(["top", "--kubeconfig", str(plane.kubeconfig)]) == 1
    message, advice = capfd.readouterr().err.splitlines()
    assert "doesn't have a resource type" in message
    assert advice == "kubectl jobtide: install Jobtide with its chart, or choose another cluster with --context"


def test_a_viewer_of_the_cluster_sees_all_namespaces(kubectl, pool, viewer_of, anywhere):
    kubectl.apply(pool())
    _report(kubectl, DEPTHS)
    viewer = viewer_of(kubectl.namespace)
    account = f"{kubectl.namespace}:viewer"
    anywhere(
        "create", "clusterrolebinding", kubectl.namespace,
        "--clusterrole=pools-viewer", f"--serviceaccount={account}",
    )  # fmt: skip
    assert f"{kubectl.namespace}/thumbs" in viewer("top", "-A").stdout


def test_the_doctor_of_a_viewer_sees_pools_and_says_which_rights_the_rest_needs(
    kubectl, pool, viewer, monkeypatch, capsys
):
    kubectl.apply(pool())
    _report(kubectl, DEPTHS)
    monkeypatch.setenv("PATH", f"{viewer.kubectl.parent}:{os.environ['PATH']}")
    assert jobtide(["doctor", "--no-database", "--json", f"--kubeconfig={viewer.kubeconfig}"]) == 0
    found = [(one["check"], one["level"], one["text"]) for one in json.loads(capsys.readouterr().out)["checks"]]
    assert [line[:2] for line in found] == [("crd", "note"), ("controller", "note"), ("pool", "ok")]
    assert "(Forbidden)" in found[0][2]
    assert found[2][2].startswith(f"{kubectl.namespace}/thumbs: ")
