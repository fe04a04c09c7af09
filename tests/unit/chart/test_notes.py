"""NOTES.txt is a shell script with the names of the release."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
CRD = yaml.load((ROOT / "crds/jobworkerpools.yaml").read_text(), yaml.CSafeLoader)
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
(VERSION,) = CRD["spec"]["versions"]
POOL_SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def test_the_notes_are_a_shell_script(rendering):
    checked = subprocess.run(
        [SHELLCHECK, "--shell=bash", "-"], input=rendering.notes, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


TENANT = "7e577e57-0000-4000-8000-000000000001"


def test_the_commands_are_these(helm):
    assert _commands(helm.render({"test.tenantId": TENANT}).notes) == [
        "kubectl rollout status deployment/tide-jobtide --namespace queue --timeout 120s",
        "kubectl apply --namespace queue --filename - <<'POOL'",
        "kubectl wait jobworkerpool/first-pool --namespace queue --for condition=Ready --timeout 120s",
        "kubectl get jobworkerpools --namespace queue",
        "helm test tide --namespace queue --logs",
    ]


def test_the_test_is_a_comment_until_it_has_a_tenant(helm):
    notes = helm.render({}).notes
    assert not any(command.startswith("helm") for command in _commands(notes))
    assert (
        "Set test.tenantId to tenants.id of a tenant first, then run: helm test tide --namespace queue --logs" in notes
    )


def test_the_pool_fits_the_crd(rendering):
    assert _misfits(_pool(rendering.notes)) == []


def test_the_example_on_artifact_hub_fits_the_crd():
    chart = yaml.safe_load((ROOT / "charts/jobtide/Chart.yaml").read_text())
    (example,) = yaml.safe_load(chart["annotations"]["artifacthub.io/crdsExamples"])
    assert _misfits(example) == []


def test_an_invalid_pool_has_misfits():
    pool = yaml.safe_load("{apiVersion: jobtide.dev/v1, kind: JobWorkerPool, spec: {typo: 1, maxReplicas: many}}")
    assert len(_misfits(pool)) == 5  # version, types, template, maxReplicas, typo


@pytest.mark.parametrize(
    ("values", "database"),
    [
        pytest.param({}, "main", id="main"),
        pytest.param({"databases": {"main": None, "b": {"secretName": "s", "key": "dsn"}}}, "b", id="another"),
    ],
)
def test_the_pool_names_a_database_of_this_release(helm, values, database):
    assert _pool(helm.render(values).notes)["spec"]["database"] == database


def test_the_workers_get_their_own_secret_and_not_the_controllers(helm):
    assert _pool(helm.render({}).notes)["spec"]["databaseSecret"] == {"name": "jobtide-worker-db"}


def test_the_pool_is_in_a_namespace_that_the_controller_watches(helm):
    notes = helm.render({"watchNamespaces": ["media", "crm"]}).notes
    assert "kubectl apply --namespace media " in notes
    assert "watches the pools of media, crm." in notes


@pytest.mark.parametrize(
    ("values", "prometheus", "warning"),
    [
        pytest.param({"replicas": 1}, True, "WARNING: one controller", id="one replica"),
        pytest.param({"crds.enabled": False}, True, "WARNING: crds.enabled=false", id="no CRD"),
        pytest.param(
            {"metrics.serviceMonitor.enabled": False},
            True,
            "WARNING: the alerts are on, and no monitor",
            id="no monitor",
        ),
        pytest.param(
            {"metrics.service.enabled": False}, True, "WARNING: the alerts are on, and no monitor", id="no Service"
        ),
        pytest.param({"metrics.podMonitor.enabled": True}, False, "WARNING: a monitor is enabled", id="no Prometheus"),
    ],
)
def test_the_notes_warn(helm, values, prometheus, warning):
    assert warning in helm.render(values, prometheus=prometheus).notes


def test_there_is_no_warning_with_two_replicas(helm):
    assert "WARNING" not in helm.render({"replicas": 2}).notes


def _commands(notes):
    """The first lines of the commands: without comments and contents of heredocs."""
    script = re.sub(r"(<<'POOL'\n).*?\nPOOL\n", r"\1", notes, flags=re.DOTALL)
    return [line for line in script.splitlines() if line and not line.startswith("#")]


def _pool(notes):
    (text,) = re.findall(r"<<'POOL'\n(.*?)\nPOOL\n", notes, flags=re.DOTALL)
    return yaml.safe_load(text)


def _misfits(pool):
    """Errors of the API server, without its CEL rules: tests/cluster check those with a real one."""
    expected = {"apiVersion": f"{CRD['spec']['group']}/{VERSION['name']}", "kind": CRD["spec"]["names"]["kind"]}
    errors = jsonschema.Draft202012Validator(POOL_SCHEMA).iter_errors(pool)
    return [
        *(key for key, value in expected.items() if pool[key] != value),
        *(error.message for error in errors),
        *_unknown_fields(pool["spec"], POOL_SCHEMA["properties"]["spec"]),
    ]


def _unknown_fields(node, schema, path="spec"):
    """Fields that the API server refuses, but JSON Schema alone accepts."""
    if not isinstance(node, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    known = schema.get("properties", {})
    unknown = [f"{path}.{key}" for key in node if key not in known]
    for key in node.keys() & known.keys():
        unknown += _unknown_fields(node[key], known[key], f"{path}.{key}")
    return unknown
