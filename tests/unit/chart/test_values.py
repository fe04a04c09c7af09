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
        pytest.param({"image.digest": "sha256:12"}, ["/image/digest", "pattern"], id="digest"),
    ],
)
def test_a_mistake_is_refused_by_name(each_helm, values, words):
    refusal = each_helm.refusal(values)
    for word in words:
        assert word in refusal


def test_the_global_key_of_helm_is_accepted(each_helm):
    assert each_helm.render({"global": {"region": "eu"}}).of_kind("Deployment")


def test_everything_sets_every_key(key_paths):
    keys = key_paths(Values().model_dump(by_alias=True))
    missing = {key for key in keys if not _has(EVERYTHING, key.split("."))}
    assert missing == {"global", "image.digest"}  # a digest would hide the tag


def test_every_value_reaches_the_output(helm):
    text = helm.render("everything").text
    unused = {path: leaf for path, leaf in _leaves(EVERYTHING) if not isinstance(leaf, bool) and str(leaf) not in text}
    assert unused == {}


def test_chart_controller_and_worker_have_one_version():
    chart = yaml.safe_load((ROOT / "charts/jobtide/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"{Values().image.repository}:{VERSION}"


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
