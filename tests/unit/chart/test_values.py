"""The values: typos are refused, every key has an effect, all versions are equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dev.generate.values import Values
from jobtide import __version__

ROOT = Path(__file__).parents[3]
EVERYTHING = yaml.safe_load((Path(__file__).parent / "values/everything.yaml").read_text())
VERSION = __version__


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"replica": 2}, ["'replica' not allowed"], id="top level"),
        pytest.param({"databases.main.secret": "x"}, ["/databases/main", "'secret' not allowed"], id="database"),
        pytest.param(
            {"settings.tickMinimumSeconds": 1}, ["/settings", "'tickMinimumSeconds' not allowed"], id="setting"
        ),
        pytest.param(
            {"metrics.serviceMonitor.interval": "30s"},
            ["/metrics/serviceMonitor", "'interval' not allowed"],
            id="monitor",
        ),
        pytest.param({"dashboards.label": {"a": "b"}}, ["/dashboards", "'label' not allowed"], id="dashboards"),
        pytest.param(
            {"dashboards.namespace": "Monitoring"}, ["/dashboards/namespace", "pattern"], id="their namespace"
        ),
        pytest.param({"image.pullPolicy": "Sometimes"}, ["/image/pullPolicy", "'Always'"], id="enumeration"),
        pytest.param({"replicas": "two"}, ["/replicas", "want integer"], id="type"),
        pytest.param({"replicas": 9}, ["/replicas", "maximum"], id="range"),
        pytest.param({"databases.Main.secretName": "x"}, ["/databases", "'Main' not allowed"], id="database name"),
        pytest.param({"databases.second": {"key": "url"}}, ["/databases/second", "secretName"], id="no secret"),
        pytest.param(
            {"databases.main.connectionBudget": 1}, ["/databases/main/connectionBudget", "minimum"], id="budget of one"
        ),
        pytest.param({"databases": {"main": None}}, ["/databases", "minProperties"], id="no database"),
        pytest.param({"watchNamespaces": ["Media"]}, ["/watchNamespaces/0", "pattern"], id="namespace"),
        pytest.param(
            {"databases.main.namespaces": []}, ["/databases/main/namespaces", "minItems"], id="no namespace at all"
        ),
        pytest.param({"admissionPolicy.podSecurity": "strict"}, ["/admissionPolicy", "'restricted'"], id="no level"),
        pytest.param(
            {"admissionPolicy": {"enabled": True, "podSecurity": "privileged"}},
            ["admissionPolicy refuses nothing", "requireDeploymentRights"],
            id="a policy that refuses nothing",
        ),
        pytest.param(
            {"prometheusRule.alerts.JobtideDeadRows.rows": None},
            ["/prometheusRule/alerts/JobtideDeadRows", "'rows'"],
            id="no threshold",
        ),
        pytest.param({"test.secretName": None}, ["/test", "'secretName'"], id="a test without a Secret"),
        pytest.param({"image.digest": "sha256:12"}, ["/image/digest", "pattern"], id="digest"),
        pytest.param({"test.tenantId": "acme"}, ["/test/tenantId", "pattern"], id="tenant by its name"),
        pytest.param(
            {"test.database": "crm"}, ["test.database is crm, which is none of databases: main"], id="unknown database"
        ),
    ],
)
def test_a_mistake_is_refused_by_name(each_helm, values, words):
    refusal = each_helm.refusal(values)
    for word in words:
        assert word in refusal


def test_a_kubernetes_that_refuses_the_crd_is_refused_first(each_helm):
    refusal = each_helm.refusal({}, kubernetes="1.29.14")
    assert "chart requires kubeVersion: >=1.30.0-0 which is incompatible with Kubernetes v1.29.14" in refusal


def test_an_upgrade_with_only_the_values_of_the_release_before_leaves_out_what_is_new(each_helm):
    """--reuse-values: no default of a new key is there."""
    new = ("dashboards", "metrics.workerPodMonitor", "prometheusRule", "test")
    rendering = each_helm.render(dict.fromkeys(new))
    assert rendering.of_kind("Deployment")
    assert not rendering.hooks
    assert not rendering.of_kind("ConfigMap", "PodMonitor", "PrometheusRule")


def test_the_global_key_of_helm_is_accepted(each_helm):
    assert each_helm.render({"global": {"region": "eu"}}).of_kind("Deployment")


def test_everything_sets_every_key(key_paths):
    keys = key_paths(Values().model_dump(by_alias=True))
    missing = {key for key in keys if not _has(EVERYTHING, key.split("."))}
    assert missing == {"global", "image.digest"}  # a digest would hide the tag


def test_every_value_reaches_the_output(helm):
    # A PodMonitor takes the place of the ServiceMonitor.
    text = helm.render("everything").text + helm.render("pod-monitor").text
    leaves = {path: str(leaf) for path, leaf in _leaves(EVERYTHING) if not isinstance(leaf, bool)}
    assert {path: leaf for path, leaf in leaves.items() if leaf.replace("{alert}", "JobtideNoLeader") not in text} == {}


def test_chart_controller_and_worker_have_one_version():
    chart = yaml.safe_load((ROOT / "charts/jobtide/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def _has(node, path):
    return not path or (path[0] in node and _has(node[path[0]], path[1:]))


def _leaves(node, prefix=""):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}{key}.")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{prefix}{index}.")
    else:
        yield prefix, node
