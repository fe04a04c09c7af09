"""Tests a pool's Deployment: its defaults, and that everything the template sets stays."""

from __future__ import annotations

import copy
from typing import Any

import kubernetes_validate
import pytest

from jobtide_controller.render.deployment import (
    deployment_first_apply,
    deployment_name,
    deployment_template_apply,
    selector,
)
from tests.unit.decide.builders import pool

DETAILED = {
    "metadata": {"labels": {"team": "media"}, "annotations": {"note": "kept"}},
    "spec": {
        "terminationGracePeriodSeconds": 900,
        "automountServiceAccountToken": True,
        "securityContext": {"runAsUser": 1234, "fsGroup": 7},
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "containers": [
            {
                "name": "worker",
                "image": "acme/jobs:1",
                "command": ["acme-worker"],
                "args": ["acme.jobs:tide"],
                "env": [
                    {"name": "JOBTIDE_CONCURRENCY", "value": "1"},
                    {"name": "JOBTIDE_HTTP_PORT", "value": "9090"},
                ],
                "livenessProbe": {"exec": {"command": ["true"]}},
                "securityContext": {"readOnlyRootFilesystem": True},
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            },
            {"name": "proxy", "image": "envoy"},
        ],
    },
}

WORKER = {"name": "worker", "image": "acme/jobs:1"}


def _pod(template: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    chosen = {} if template is None else {"template": template}
    found: dict[str, Any] = deployment_template_apply(pool(**chosen, **fields))["spec"]["template"]
    return found


def _worker(template: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    containers = _pod(template, **fields)["spec"]["containers"]
    found: dict[str, Any] = next(c for c in containers if c["name"] == "worker")
    return found


def _env(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def _with_worker(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1", **fields}]}}


@pytest.mark.parametrize("template", [pytest.param(None, id="minimal"), pytest.param(DETAILED, id="detailed")])
def test_deployment_is_valid_for_kubernetes(template):
    fields = {} if template is None else {"template": template}
    kubernetes_validate.validate(deployment_first_apply(pool(**fields), 3), "1.37", strict=True)


def test_only_the_first_apply_has_replicas():
    assert "replicas" not in deployment_template_apply(pool())["spec"]
    assert deployment_first_apply(pool(), 0)["spec"]["replicas"] == 0


def test_deployment_is_deleted_with_its_pool():
    (owner,) = deployment_template_apply(pool())["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("uid-of-pool", True, True)


def test_selector_is_part_of_the_labels_of_deployment_and_pods():
    deployment = deployment_template_apply(pool())
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels.items() <= deployment["metadata"]["labels"].items()
    assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert selector(pool()) == "app.kubernetes.io/name=jobtide-worker,jobtide.dev/pool=thumbs"


def test_rollout_never_has_fewer_workers_than_before():
    strategy = deployment_template_apply(pool())["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}


def test_minimal_template_passes_restricted_pod_security():
    spec_, worker = _pod()["spec"], _worker()
    assert spec_["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert worker["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_worker_has_no_token_for_the_kubernetes_api():
    assert _pod()["spec"]["automountServiceAccountToken"] is False


def test_worker_gets_its_environment_variables():
    fields = {"concurrency": 8, "drainSeconds": 30, "retry": {"maxAttempts": 2, "baseSeconds": 1, "maxSeconds": 9}}
    assert _env(_worker(**fields)) == {
        "JOBTIDE_DATABASE_URL_FILE": "/var/run/jobtide/database/url",
        "JOBTIDE_POOL": "media/thumbs",
        "JOBTIDE_TYPES": '["a", "b"]',
        "JOBTIDE_CONCURRENCY": "8",
        "JOBTIDE_DRAIN_SECONDS": "30",
        "JOBTIDE_MAX_ATTEMPTS": "2",
        "JOBTIDE_RETRY_BASE_SECONDS": "1",
        "JOBTIDE_RETRY_MAX_SECONDS": "9",
        "JOBTIDE_HTTP_PORT": "8080",
        "JOBTIDE_POD_UID": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}},
        "JOBTIDE_POD_NAME": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
    }


def test_worker_gets_the_caps_of_tenants_if_there_are_any():
    owner = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    env = _env(_worker(tenants={"maxConcurrent": 16, "overrides": {owner: 64}}))
    assert env["JOBTIDE_TENANT_MAX_CONCURRENT"] == "16"
    assert env["JOBTIDE_TENANT_OVERRIDES"] == f'{{"{owner}": 64}}'


def test_worker_gets_the_promise_of_every_type_if_one_has_its_own():
    env = _env(_worker(types=["a", "b"], promises={"b": 600}, maxWaitSeconds=30))
    assert env["JOBTIDE_PROMISES"] == '{"a": 30, "b": 600}'
    assert "JOBTIDE_PROMISES" not in _env(_worker(maxWaitSeconds=30))


def test_database_secret_is_mounted_as_a_file():
    pod = _pod(databaseSecret={"name": "pg", "key": "dsn"})["spec"]
    (volume,) = pod["volumes"]
    assert volume["secret"] == {"secretName": "pg", "items": [{"key": "dsn", "path": "url"}]}
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"], mount["readOnly"]) == (
        volume["name"],
        "/var/run/jobtide/database",
        True,
    )


def test_worker_is_not_the_first_process_and_loses_no_signal_while_python_starts():
    assert _pod()["spec"]["shareProcessNamespace"] is True


@pytest.mark.parametrize(
    ("given", "shared"),
    [
        pytest.param({}, True, id="the worker is alone"),
        pytest.param({"shareProcessNamespace": False}, False, id="set by the template"),
        pytest.param({"hostPID": True}, None, id="refused by the API server with hostPID"),
        pytest.param({"initContainers": [{"name": "migrate", "image": "i"}]}, True, id="another has ended before"),
        pytest.param({"initContainers": None}, True, id="null for no container"),
        pytest.param(
            {"initContainers": [{"name": "proxy", "image": "i", "restartPolicy": "Always"}]}, None, id="a sidecar"
        ),
        pytest.param({"containers": [WORKER, {"name": "proxy", "image": "i"}]}, None, id="a second container"),
        pytest.param(
            {"containers": [WORKER, {"name": "proxy", "image": "i"}], "shareProcessNamespace": True},
            True,
            id="a second container that the template lets in",
        ),
    ],
)
def test_no_other_container_sees_the_workers_processes(given: dict[str, Any], shared: bool | None):
    spec = {"containers": [WORKER], **given}
    assert _pod({"spec": spec})["spec"].get("shareProcessNamespace") is shared


def test_grace_period_is_ten_seconds_longer_than_the_drain():
    assert _pod(drainSeconds=120)["spec"]["terminationGracePeriodSeconds"] == 130


def test_unreachable_database_restarts_no_worker():
    worker = _worker()
    paths = {probe: worker[probe]["httpGet"]["path"] for probe in worker if probe.endswith("Probe")}
    assert paths == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def test_what_the_template_sets_stays():
    pod, worker, env = _pod(DETAILED)["spec"], _worker(DETAILED), _env(_worker(DETAILED))
    assert (pod["terminationGracePeriodSeconds"], pod["automountServiceAccountToken"]) == (900, True)
    assert pod["securityContext"]["runAsUser"] == 1234
    assert (worker["command"], worker["args"]) == (["acme-worker"], ["acme.jobs:tide"])
    assert worker["livenessProbe"] == {"exec": {"command": ["true"]}}
    assert env["JOBTIDE_CONCURRENCY"] == "1"
    assert worker["securityContext"]["readOnlyRootFilesystem"] is True
    assert [volume["name"] for volume in pod["volumes"]] == ["cache", "jobtide-database"]
    assert pod["containers"][1] == {"name": "proxy", "image": "envoy"}


def test_labels_and_annotations_of_the_template_stay():
    metadata = _pod(DETAILED)["metadata"]
    assert metadata["labels"]["team"] == "media"
    assert metadata["labels"]["jobtide.dev/pool"] == "thumbs"
    assert metadata["annotations"] == {"note": "kept"}


def test_probes_and_container_port_use_the_templates_own_port():
    worker = _worker(DETAILED)
    assert worker["readinessProbe"]["httpGet"]["port"] == 9090
    assert worker["ports"] == [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]


def test_worker_without_an_http_server_has_no_probes():
    worker = _worker(_with_worker(env=[{"name": "JOBTIDE_HTTP_PORT", "value": "0"}]))
    assert not [field for field in worker if field.endswith("Probe")]
    assert worker["ports"] == []


@pytest.mark.parametrize("variable", ["JOBTIDE_DATABASE_URL", "JOBTIDE_DATABASE_URL_FILE"])
def test_template_with_its_own_database_mounts_no_secret(variable):
    template = _with_worker(env=[{"name": variable, "value": "mine"}])
    assert "volumes" not in _pod(template)["spec"]
    assert next(iter(_env(_worker(template)))) == variable
    assert sum(name.startswith("JOBTIDE_DATABASE") for name in _env(_worker(template))) == 1


def test_template_that_sets_root_is_respected():
    template = {**_with_worker()["spec"], "securityContext": {"runAsUser": 0}}
    assert "runAsNonRoot" not in _pod({"spec": template})["spec"]["securityContext"]


def test_privileged_container_is_respected():
    worker = _worker(_with_worker(securityContext={"privileged": True}))
    assert "allowPrivilegeEscalation" not in worker["securityContext"]


def test_rendering_does_not_change_the_pool():
    given = pool(template=copy.deepcopy(DETAILED))
    deployment_first_apply(given, 1)
    assert given.spec.template == DETAILED


def test_same_pool_gives_the_same_manifest():
    assert deployment_template_apply(pool()) == deployment_template_apply(pool())


def test_name_of_the_deployment_is_the_name_of_the_pool_with_a_suffix():
    assert deployment_name(pool("x")) == "x-worker"


UNSET = ("env", "ports", "volumeMounts", "securityContext", "command", "livenessProbe")


def test_null_in_the_template_is_an_unset_field():
    """Server-side apply keeps a null; as for any Deployment it sets nothing, so our defaults stay."""
    worker = {"name": "worker", "image": "acme/jobs:1"}
    sidecar = {"name": "proxy", "image": "envoy", "volumeMounts": None}
    plain = {"spec": {"containers": [worker, sidecar]}}
    nulls = {
        "metadata": None,
        "spec": {
            "containers": [{**worker, **dict.fromkeys(UNSET)}, sidecar],
            "volumes": None,
            "securityContext": None,
            "automountServiceAccountToken": None,
            "terminationGracePeriodSeconds": None,
        },
    }
    assert deployment_template_apply(pool(template=nulls)) == deployment_template_apply(pool(template=plain))


@pytest.mark.parametrize(
    ("type_", "written"),
    [("a$$b", '["a$$$$b"]'), ("$(JOBTIDE_POOL)", '["$$(JOBTIDE_POOL)"]'), ("a$", '["a$$"]'), ("plain", '["plain"]')],
)
def test_kubernetes_expands_nothing_in_the_values_that_we_set(type_, written):
    worker = deployment_template_apply(pool(types=[type_]))["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in worker["env"]}
    assert env["JOBTIDE_TYPES"] == written
