"""Every manifest is valid for Kubernetes and has what the chart documents."""

from __future__ import annotations

import pytest
from kubernetes_validate import validate

KUBERNETES_VERSION = "1.37"
# Kubernetes' schemas do not contain the Prometheus Operator's; tests/cluster apply the CRD to a real API server.
ELSEWHERE = {"ServiceMonitor", "PodMonitor", "CustomResourceDefinition"}


def test_manifests_fit_the_schemas_of_kubernetes(rendering):
    for manifest in rendering.manifests:
        if manifest["kind"] not in ELSEWHERE:
            validate(manifest, KUBERNETES_VERSION, strict=True)


def test_helm_3_and_4_render_the_same(helms, values_name):
    assert helms["helm"].render(values_name).manifests == helms["helm3"].render(values_name).manifests
    assert helms["helm"].render(values_name).notes == helms["helm3"].render(values_name).notes


@pytest.mark.parametrize("values", ["default", "everything"])
def test_lint_finds_nothing(each_helm, values):
    linted = each_helm.lint(values)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        pytest.param(
            {},
            "ClusterRole ClusterRole ClusterRole ClusterRoleBinding CustomResourceDefinition"
            " Deployment Role RoleBinding Service ServiceAccount",
            id="default",
        ),
        pytest.param(
            {
                "watchNamespaces": ["media"],
                "crds.enabled": False,
                "serviceAccount.create": False,
                "metrics.service.enabled": False,
            },
            "Deployment Role Role RoleBinding RoleBinding",
            id="namespaced, least",
        ),
        pytest.param(
            {
                "replicas": 2,
                "crds.enabled": False,
                "rbac.create": False,
                "metrics.serviceMonitor.enabled": True,
                "metrics.podMonitor.enabled": True,
                "networkPolicy.enabled": True,
            },
            "Deployment NetworkPolicy PodDisruptionBudget PodMonitor Service ServiceAccount ServiceMonitor",
            id="two replicas, monitored, restricted traffic",
        ),
    ],
)
def test_a_release_consists_of(helm, values, kinds):
    assert sorted(manifest["kind"] for manifest in helm.render(values).manifests) == kinds.split()


def test_monitors_are_left_out_without_the_prometheus_operator(helm):
    values = {"metrics.serviceMonitor.enabled": True, "metrics.podMonitor.enabled": True}
    assert not helm.render(values, prometheus=False).of_kind("ServiceMonitor", "PodMonitor")


def test_a_service_monitor_without_service_is_refused(helm):
    refusal = helm.refusal({"metrics.serviceMonitor.enabled": True, "metrics.service.enabled": False})
    assert "metrics.serviceMonitor.enabled needs metrics.service.enabled: true" in refusal


def test_the_crd_and_with_it_every_pool_survives_an_uninstall(helm):
    crd = helm.render({}).one("CustomResourceDefinition")
    assert crd["metadata"]["name"] == "jobworkerpools.jobtide.dev"
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_every_selector_selects_the_controllers_pods(rendering):
    labels = rendering.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for manifest in rendering.manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if manifest["kind"] != "CustomResourceDefinition":
            chosen = selector.get("matchLabels", selector)
            assert chosen.items() <= labels.items(), manifest["kind"]


@pytest.mark.parametrize(("replicas", "budgets"), [pytest.param(1, 0, id="one"), pytest.param(2, 1, id="two")])
def test_a_disruption_budget_exists_only_if_it_does_not_block_a_drain(helm, replicas, budgets):
    assert len(helm.render({"replicas": replicas}).of_kind("PodDisruptionBudget")) == budgets


def test_two_releases_of_one_name_in_two_namespaces_share_no_cluster_object(helm):
    names = {role["metadata"]["name"] for role in helm.render({}).of_kind("ClusterRole", "ClusterRoleBinding")}
    assert names == {"queue:tide-jobtide", "queue:tide-jobtide:view", "queue:tide-jobtide:edit"}
