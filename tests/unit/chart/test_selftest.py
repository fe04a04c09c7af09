"""`helm test`: its pod and pool, and the rights that exist while it runs."""

from __future__ import annotations

import json

import pytest

from jobtide_controller.api.refusals import refusals

TENANT = "7e577e57-0000-4000-8000-000000000001"
# What all who make a pool need where the admission policy asks for it.
DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}


def of_kind(rendering, kind):
    return [hook for hook in rendering.hooks if hook["kind"] == kind]


def pod_of(rendering):
    (pod,) = of_kind(rendering, "Pod")
    return pod


def flags(rendering):
    (container,) = pod_of(rendering)["spec"]["containers"]
    return dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])


def pool_of(rendering):
    return json.loads(flags(rendering)["pool"])


def test_nothing_of_the_test_exists_before_it_runs(rendering):
    assert {hook["metadata"]["annotations"]["helm.sh/hook"] for hook in rendering.hooks} == {"test"}


def test_only_the_pod_stays_with_its_log(rendering):
    policies = {hook["kind"]: hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for hook in rendering.hooks}
    assert policies.pop("Pod") == "before-hook-creation"
    assert set(policies.values()) == {"before-hook-creation,hook-succeeded"}


def test_the_account_may_make_pools_and_read_and_delete_that_of_the_test(helm):
    rendering = helm.render({})
    (role,), (binding,) = of_kind(rendering, "Role"), of_kind(rendering, "RoleBinding")
    pools = {"apiGroups": ["jobtide.dev"], "resources": ["jobworkerpools"]}
    own = [pool_of(rendering)["metadata"]["name"]]
    assert role["rules"] == [
        {**pools, "verbs": ["create"]},
        {**pools, "resourceNames": own, "verbs": ["get", "delete"]},
    ]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": pod_of(rendering)["spec"]["serviceAccountName"], "namespace": "queue"}
    ]


def test_it_has_the_right_that_the_admission_policy_asks_for(helm):
    (role,) = of_kind(helm.render({"admissionPolicy": {"enabled": True, "requireDeploymentRights": True}}), "Role")
    assert role["rules"][-1] == DEPLOYMENTS


@pytest.mark.parametrize(
    ("watched", "namespace"),
    [
        pytest.param([], "queue", id="all"),
        pytest.param(["media", "queue"], "queue", id="that of the release"),
        pytest.param(["media", "crm"], "media", id="others"),
    ],
)
def test_the_pool_and_its_rights_are_where_the_controller_watches(helm, watched, namespace):
    rendering = helm.render({"watchNamespaces": watched})
    namespaces = {
        hook["metadata"]["namespace"] for kind in ("Role", "RoleBinding") for hook in of_kind(rendering, kind)
    }
    assert {pool_of(rendering)["metadata"]["namespace"], *namespaces} == {namespace}
    assert pod_of(rendering)["metadata"]["namespace"] == "queue"  # `helm test --logs` looks there


def test_the_pool_is_one_that_the_api_server_takes(rendering):
    assert refusals(pool_of(rendering)) == []


def test_the_longest_name_of_a_release_gives_a_name_for_the_pool(helm):
    name = pool_of(helm.render({"fullnameOverride": "x" * 63}))["metadata"]["name"]
    assert (len(name), name[-6:]) == (39, "x-test")


def test_the_pod_passes_the_restricted_standard_and_no_selector_of_the_controller_selects_it(rendering):
    spec = pod_of(rendering)["spec"]
    controllers = rendering.one("Deployment")["spec"]
    assert spec["securityContext"] == controllers["template"]["spec"]["securityContext"]
    assert spec["containers"][0]["securityContext"] == rendering.container["securityContext"]
    selected = controllers["selector"]["matchLabels"].items()
    assert not selected <= pod_of(rendering)["metadata"]["labels"].items()


def test_pod_and_worker_run_where_and_as_the_controller_does(helm):
    rendering = helm.render("everything")
    keys = ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity")
    worker = pool_of(rendering)["spec"]["template"]["spec"]
    for spec in (pod_of(rendering)["spec"], worker):
        assert [spec[key] for key in keys] == [
            rendering.one("Deployment")["spec"]["template"]["spec"][key] for key in keys
        ]
        assert spec["containers"][0]["image"] == rendering.container["image"]


def test_the_urls_are_those_of_the_workers_and_of_the_controller(helm):
    databases = {"main": {"secretName": "first"}, "crm": {"secretName": "second", "key": "dsn", "caKey": "ca"}}
    rendering = helm.render({"databases": databases, "test.database": "crm", "test.secretName": "w", "test.key": "k"})
    spec = pod_of(rendering)["spec"]
    secrets = {volume["name"]: volume["secret"] for volume in spec["volumes"]}
    mounted = {mount["mountPath"]: secrets[mount["name"]] for mount in spec["containers"][0]["volumeMounts"]}
    assert {path: (one["secretName"], one["items"]) for path, one in mounted.items()} == {
        flags(rendering)["workers-dir"]: ("w", [{"key": "k", "path": "url"}]),
        f"{flags(rendering)['databases-dir']}/crm": (
            "second",
            [{"key": "dsn", "path": "url"}, {"key": "ca", "path": "ca.crt"}],
        ),
    }
    assert all(secret["optional"] for secret in secrets.values())
    assert pool_of(rendering)["spec"]["database"] == "crm"
    assert pool_of(rendering)["spec"]["databaseSecret"] == {"name": "w", "key": "k"}


def test_restricted_traffic_lets_the_test_reach_what_it_needs(helm):
    rendering = helm.render({"networkPolicy.enabled": True, "networkPolicy.databasePorts": [15432]})
    (policy,) = of_kind(rendering, "NetworkPolicy")
    labels = pod_of(rendering)["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for port in policy["spec"]["egress"][0]["ports"]] == [53, 53, 443, 6443, 15432]


def test_it_ends_before_helm_stops_waiting(helm):
    assert float(flags(helm.render({}))["seconds"]) < 300
