"""The CRD against a real API server: what it refuses, fills in, shows and lets be scaled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobtide_controller.api.crd import COLUMNS, UNREPORTED, crd
from jobtide_controller.api.v1alpha1 import JobWorkerPool

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
REFUSED = "# refused: "

_PATCH = ("patch", "jwp", "thumbs", "--type", "merge", "--patch")

SPEC = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

DEFAULTS = {
    "database": "main",
    "minReplicas": 0,
    "maxReplicas": 10,
    "concurrency": 4,
    "tenants": {},
    "scaleDown": {},
    "drainSeconds": 600,
    "retry": {"maxAttempts": 5, "baseSeconds": 2, "maxSeconds": 3600},
    "databaseSecret": {"name": "jobtide-worker-db", "key": "url"},
    "paused": False,
    "onAllFailing": "Scale",
    "retention": {},
}

STATUS = {
    "observedGeneration": 1,
    "reason": "ScalingUp",
    "replicas": 24,
    "readyReplicas": 24,
    "desiredReplicas": 40,
    "selector": "app.kubernetes.io/name=jobtide-worker,jobtide.dev/pool=thumbs",
    "display": {
        "pending": "8,140",
        "oldest": "3m12s",
        "busy": "23",
        "processing": "92",
        "tenants": "212",
        "limitedBy": "MaxReplicas",
    },
}


def _window(name: str = "w", **fields: Any) -> dict[str, Any]:
    return {"name": name, "cron": "0 9 * * *", "durationSeconds": 600, "minReplicas": 1, **fields}


def test_api_server_accepts_the_crd(anywhere):
    conditions = anywhere.get("crd", "jobworkerpools.jobtide.dev")["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {"NamesAccepted": "True", "Established": "True"}


def test_there_are_at_least_fifteen_ways_to_be_refused():
    assert len(BAD) >= 15


@pytest.mark.parametrize("file", [pytest.param(path, id=path.stem) for path in BAD])
def test_bad_pool_is_refused_with_field_value_and_fix(anywhere, file):
    first_line = file.read_text().splitlines()[0]
    done = anywhere.run("apply", "-f", str(file))
    assert done.returncode == 1
    assert first_line.removeprefix(REFUSED) in done.stderr


def test_smallest_pool_gets_every_default(kubectl, pool):
    assert kubectl.apply(pool()).returncode == 0
    spec = kubectl.get("jwp", "thumbs")["spec"]
    del spec["types"], spec["template"]
    assert spec == DEFAULTS


def test_defaults_of_the_api_server_are_those_of_the_controller(kubectl, pool):
    manifest = pool()
    kubectl.apply(manifest)
    manifest["metadata"]["namespace"] = "any"
    stored = JobWorkerPool.model_validate(kubectl.get("jwp", "thumbs"))
    assert stored.spec == JobWorkerPool.model_validate(manifest).spec


def test_template_keeps_fields_that_the_crd_does_not_know(kubectl, pool):
    container = {
        "name": "worker",
        "image": "acme/jobs:1",
        "resources": {"limits": {"memory": "256Mi"}},
        "args": ["a"],
    }
    template = {"spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]}}
    kubectl.apply(pool(template=template))
    assert kubectl.get("jwp", "thumbs")["spec"]["template"] == template


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"jobsPerWorker": 200}, id="jobs-per-worker-alone"),
        pytest.param({"maxWaitSeconds": 5}, id="promise-alone"),
        pytest.param({"promises": {"video": 600}, "types": ["video", "a b"]}, id="promise-of-one-type"),
        pytest.param({"promises": {}, "jobsPerWorker": 9}, id="no-promise-of-any-type"),
        pytest.param(
            {
                "promises": {f"{n}{'x' * 190}": 86_400 for n in range(64)},
                "types": [f"{n}{'x' * 190}" for n in range(64)],
            },
            id="promises-of-as-many-types-as-can-be",
        ),
        pytest.param({"paused": True, "pausedUntil": "2026-11-30T08:00:00Z"}, id="pause-that-ends"),
        pytest.param({"replicas": 0}, id="pinned-to-none"),
        pytest.param(
            {"tenants": {"overrides": {"0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10": 64}}}, id="override-without-limit"
        ),
        pytest.param({"tenants": {"overrides": {"0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10": 0}}}, id="paused-tenant"),
        pytest.param(
            {
                "tenants": {
                    "maxConcurrent": 4,
                    "limits": {
                        "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10": {"weight": 3},
                        "8c1f6a0e-52d1-4d0b-8f37-1b9f4e7c2d55": {"maxConcurrent": 0, "until": "2026-11-30T08:00:00Z"},
                    },
                }
            },
            id="tenant-with-weight-and-one-paused-for-a-time",
        ),
        pytest.param({"types": ["video ingest", "büro.post"]}, id="types-with-inner-space-and-umlaut"),
        pytest.param({"schedules": [_window(cron="@daily")]}, id="window-of-a-macro"),
        pytest.param({"schedules": [_window(cron="*/15,7 8-18/2 1,15 JAN-mar MON-fri")]}, id="window-of-all-forms"),
        pytest.param({"schedules": [_window(timezone="America/Argentina/Buenos_Aires")]}, id="zone-of-three-parts"),
        pytest.param({"schedules": [_window(timezone="Etc/GMT+8")]}, id="window-of-an-offset-zone"),
        pytest.param({"schedules": [_window(minReplicas=30, maxReplicas=40)]}, id="window-with-a-higher-ceiling"),
        pytest.param({"schedules": [_window(minReplicas=0, maxReplicas=0)], "minReplicas": 2}, id="no-workers"),
        pytest.param({"schedules": [_window(f"w{number}") for number in range(16)]}, id="as-many-windows-as-allowed"),
    ],
)
def test_good_pool_is_accepted(kubectl, pool, spec):
    done = kubectl.apply(pool(**spec))
    assert done.returncode == 0, done.stderr


def test_windows_keep_their_order_and_get_a_timezone(kubectl, pool):
    assert kubectl.apply(pool(schedules=[_window("b"), _window("a", timezone="Asia/Kolkata")])).returncode == 0
    stored = kubectl.get("jwp", "thumbs")["spec"]["schedules"]
    assert [(window["name"], window["timezone"]) for window in stored] == [("b", "UTC"), ("a", "Asia/Kolkata")]


def test_database_of_a_pool_never_changes(kubectl, pool):
    kubectl.apply(pool())
    done = kubectl.apply(pool(database="second"))
    assert (
        "database is immutable ('main', not 'second'); to change it, delete the pool and create it again" in done.stderr
    )


def test_the_documented_command_resumes_a_pause_that_has_an_end(kubectl, pool):
    kubectl.apply(pool(paused=True, pausedUntil="2099-01-01T00:00:00Z"))
    assert "remove pausedUntil too" in kubectl.run(*_PATCH, '{"spec":{"paused":false}}').stderr
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (patch,) = re.findall(r"^\| resume \| `kubectl patch jwp POOL --type merge --patch '([^']*)'`", page, re.MULTILINE)
    kubectl(*_PATCH, patch)
    assert not {"paused", "pausedUntil"} & {key for key, value in kubectl.get("jwp", "thumbs")["spec"].items() if value}


def test_unknown_field_is_dropped_where_a_client_does_not_ask_for_strictness(kubectl, pool):
    done = kubectl.apply(pool(maxWait=30), "--validate=ignore")
    assert done.returncode == 0
    assert "maxWait" not in kubectl.get("jwp", "thumbs")["spec"]


def test_kubectl_scale_pins_and_removing_the_pin_unpins(kubectl, pool):
    kubectl.apply(pool())
    kubectl("scale", "jwp/thumbs", "--replicas=5")
    assert kubectl.get("jwp", "thumbs")["spec"]["replicas"] == 5
    kubectl("patch", "jwp/thumbs", "--type=json", "-p", '[{"op": "remove", "path": "/spec/replicas"}]')
    assert "replicas" not in kubectl.get("jwp", "thumbs")["spec"]


def test_kubectl_scale_beyond_the_maximum_is_refused(kubectl, pool):
    kubectl.apply(pool(maxReplicas=4))
    done = kubectl.run("scale", "jwp/thumbs", "--replicas=5")
    assert "replicas (5) must be <= maxReplicas (4)" in done.stderr


def test_scale_subresource_reads_the_status(kubectl, pool):
    kubectl.apply(pool(replicas=5))
    _write_status(kubectl, STATUS)
    scale = json.loads(kubectl("get", "--raw", _path(kubectl, "scale")))
    assert scale["status"] == {"replicas": 24, "selector": STATUS["selector"]}


def test_status_write_leaves_spec_and_generation_alone(kubectl, pool):
    kubectl.apply(pool())
    before = kubectl.get("jwp", "thumbs")
    _write_status(kubectl, STATUS, spec={"maxReplicas": 99})
    after = kubectl.get("jwp", "thumbs")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["status"] == STATUS


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_a_pool_that_no_controller_has_seen_has_no_observed_generation(kubectl, pool, how):
    """kstatus takes an object without a status for one that works."""
    for max_replicas in (10, 20):
        assert kubectl.apply(pool(maxReplicas=max_replicas), *how).returncode == 0
        assert kubectl.get("jwp", "thumbs")["status"] == UNREPORTED
    _, row = kubectl("get", "jwp").splitlines()
    assert len(row.split()) == 2, "name and age; no number that no controller has counted"
    assert kubectl.run("wait", "jwp/thumbs", "--for=condition=Ready", "--timeout=0").returncode != 0
    _write_status(kubectl, STATUS)
    assert kubectl.apply(pool(), *how).returncode == 0
    assert kubectl.get("jwp", "thumbs")["status"] == STATUS


def test_spec_write_leaves_status_alone(kubectl, pool):
    kubectl.apply(pool())
    _write_status(kubectl, STATUS)
    kubectl.apply({**pool(maxReplicas=20), "status": {"reason": "Forged"}}, "--validate=ignore")
    after = kubectl.get("jwp", "thumbs")
    assert (after["status"]["reason"], after["spec"]["maxReplicas"]) == ("ScalingUp", 20)


def test_table_shows_how_far_behind_and_why(kubectl, pool):
    kubectl.apply(pool())
    _write_status(kubectl, STATUS)
    header, row = kubectl("get", "jwp").splitlines()
    assert header.split() == ["NAME", "PENDING", "OLDEST", "BUSY", "DESIRED", "READY", "REASON", "AGE"]
    assert row.split()[:-1] == ["thumbs", "8,140", "3m12s", "23", "40", "24", "ScalingUp"]


def test_wide_table_shows_the_limits_too(kubectl, pool):
    kubectl.apply(pool())
    _write_status(kubectl, STATUS)
    header, row = kubectl("get", "jwp", "-o", "wide").splitlines()
    assert header.split()[7:-1] == ["MIN", "MAX", "PROCESSING", "TENANTS", "LIMITED-BY"]
    assert row.split()[7:-1] == ["0", "10", "92", "212", "MaxReplicas"]


def test_table_has_every_column_of_the_crd(kubectl, pool):
    kubectl.apply(pool())
    header = kubectl("get", "jwp", "-o", "wide").splitlines()[0].split()
    assert header == ["NAME", *(column.name.upper() for column in COLUMNS)]


@pytest.mark.parametrize("category", ["jobtide", "all"])
def test_pools_are_listed_with_their_category(kubectl, pool, category):
    kubectl.apply(pool())
    assert "thumbs" in kubectl("get", category)


def _explained(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Every field that a user sets, down to the pod template, which is Kubernetes' own."""
    for name, value in schema["properties"].items():
        yield f"{path}.{name}"
        inner = value.get("items", value)
        if name != "template" and "properties" in inner:
            yield from _explained(inner, f"{path}.{name}")


@pytest.mark.parametrize("field", list(_explained(SPEC, "jwp.spec")))
def test_kubectl_explains_each_field_with_its_default(anywhere, field):
    text = " ".join(anywhere("explain", field).split("DESCRIPTION:")[1].split())
    assert any(word in text for word in ("Default:", "Unset:", "Required")), text
    if field.endswith("Seconds"):
        assert "seconds" in text.lower()


def _path(kubectl: Any, subresource: str) -> str:
    return f"/apis/jobtide.dev/v1alpha1/namespaces/{kubectl.namespace}/jobworkerpools/thumbs/{subresource}"


def _write_status(kubectl: Any, status: dict[str, Any], **other: Any) -> None:
    patch = json.dumps({"status": status, **other})
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", patch)
