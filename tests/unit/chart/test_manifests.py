"""Every manifest is valid for Kubernetes and has what the chart documents."""

from __future__ import annotations

import re

import pytest
from kubernetes_validate import validate

from jobtide_controller.render.deployment import POOL_LABEL, deployment_template_apply
from tests.unit.decide.builders import pool

KUBERNETES_VERSION = "1.37"
# Kubernetes' schemas do not contain the Prometheus Operator's; tests/cluster apply the CRD to a real API server.
ELSEWHERE = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "CustomResourceDefinition"}


def test_manifests_fit_the_schemas_of_kubernetes(rendering):
    for manifest in (*rendering.manifests, *rendering.hooks):
        if manifest["kind"] not in ELSEWHERE:
            validate(manifest, KUBERNETES_VERSION, strict=True)


def test_the_longest_name_of_a_release_fits_all_its_objects(helm):
    values = {"fullnameOverride": "r" * 63, "page": {"enabled": True, "service": {"enabled": True}}}
    rendering = helm.render(values)
    names = [one["metadata"]["name"] for one in (*rendering.of_kind("Service", "Deployment"), *rendering.hooks)]
    long = [name for name in names if len(name) > 63 and ":" not in name]  # those of RBAC may be longer
    assert (len(names), long) == (7, [])


def test_helm_3_and_4_render_the_same(helms, values_name):
    four, three = helms["helm"].render(values_name), helms["helm3"].render(values_name)
    assert (four.manifests, four.hooks, four.notes) == (three.manifests, three.hooks, three.notes)


@pytest.mark.parametrize("values", ["default", "everything"])
def test_lint_finds_nothing(each_helm, values):
    linted = each_helm.lint(values)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        pytest.param(
            {},
            "ClusterRole ClusterRole ClusterRole ClusterRoleBinding ConfigMap ConfigMap CustomResourceDefinition"
            " Deployment PodMonitor PrometheusRule Role RoleBinding Service ServiceAccount ServiceMonitor",
            id="default",
        ),
        pytest.param(
            {
                "watchNamespaces": ["media"],
                "crds.enabled": False,
                "serviceAccount.create": False,
                "metrics.service.enabled": False,
                "metrics.workerPodMonitor.enabled": False,
                "prometheusRule.enabled": False,
                "dashboards.enabled": False,
            },
            "Deployment Role Role RoleBinding RoleBinding",
            id="namespaced, least",
        ),
        pytest.param(
            {
                "replicas": 2,
                "crds.enabled": False,
                "rbac.create": False,
                "metrics.podMonitor.enabled": True,
                "networkPolicy.enabled": True,
            },
            "ConfigMap ConfigMap Deployment NetworkPolicy PodDisruptionBudget PodMonitor PodMonitor PrometheusRule"
            " Service ServiceAccount",
            id="two replicas, a PodMonitor, restricted traffic",
        ),
    ],
)
def test_a_release_consists_of(helm, values, kinds):
    assert sorted(manifest["kind"] for manifest in helm.render(values).manifests) == kinds.split()


def test_monitors_are_left_out_without_the_prometheus_operator(helm):
    values = {"metrics.serviceMonitor.enabled": True, "metrics.podMonitor.enabled": True}
    assert not helm.render(values, prometheus=False).of_kind("ServiceMonitor", "PodMonitor")


def test_metrics_of_pools_keep_the_namespace_of_the_pool(helm):
    (service_monitor,) = helm.render({}).of_kind("ServiceMonitor")
    _, pod_monitor = helm.render({"metrics.podMonitor.enabled": True}).of_kind("PodMonitor")
    (of_service,), (of_pods,) = service_monitor["spec"]["endpoints"], pod_monitor["spec"]["podMetricsEndpoints"]
    assert of_service["honorLabels"] is of_pods["honorLabels"] is True


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [
        pytest.param({}, {"any": True}, id="everywhere"),
        pytest.param({"watchNamespaces": ["crm", "media"]}, {"matchNames": ["crm", "media"]}, id="where pools may be"),
    ],
)
def test_workers_are_scraped_with_the_name_of_their_pool(helm, values, namespaces):
    spec = helm.render(values).one("PodMonitor")["spec"]
    assert spec["namespaceSelector"] == namespaces
    assert spec["selector"] == {"matchExpressions": [{"key": POOL_LABEL, "operator": "Exists"}]}
    (endpoint,) = spec["podMetricsEndpoints"]
    (container,) = deployment_template_apply(pool())["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    (relabeling,) = endpoint["relabelings"]
    meta = "__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", POOL_LABEL)
    assert relabeling == {"sourceLabels": [meta], "targetLabel": "pool"}


def test_the_crd_and_with_it_every_pool_survives_an_uninstall(helm):
    crd = helm.render({}).one("CustomResourceDefinition")
    assert crd["metadata"]["name"] == "jobworkerpools.jobtide.dev"
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_every_selector_selects_the_controllers_pods(rendering):
    labels = rendering.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for manifest in rendering.manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if manifest["kind"] != "CustomResourceDefinition" and not manifest["metadata"]["name"].endswith("-workers"):
            chosen = selector.get("matchLabels", selector)
            assert chosen.items() <= labels.items(), manifest["kind"]


@pytest.mark.parametrize(("replicas", "budgets"), [pytest.param(1, 0, id="one"), pytest.param(2, 1, id="two")])
def test_a_disruption_budget_exists_only_if_it_does_not_block_a_drain(helm, replicas, budgets):
    assert len(helm.render({"replicas": replicas}).of_kind("PodDisruptionBudget")) == budgets


def test_two_releases_of_one_name_in_two_namespaces_share_no_cluster_object(helm):
    names = {role["metadata"]["name"] for role in helm.render({}).of_kind("ClusterRole", "ClusterRoleBinding")}
    assert names == {"queue:tide-jobtide", "queue:tide-jobtide:view", "queue:tide-jobtide:edit"}
