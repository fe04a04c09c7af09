"""The values: no typo passes, no key is dead, no default exists in two versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dev.generate.values import Values

ROOT = Path(__file__).parents[3]
VALUES_TEXT = (ROOT / "charts/jobtide/values.yaml").read_text()
EVERYTHING = yaml.safe_load((Path(__file__).parent / "values/everything.yaml").read_text())
VERSION = re.search(r'"(.+)"', (ROOT / "worker/jobtide/_version.py").read_text())[1]


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
        pytest.param({"databases": {"main": None}}, ["/databases", "minProperties"], id="no database"),
        pytest.param({"watchNamespaces": ["Media"]}, ["/watchNamespaces/0", "pattern"], id="namespace"),
        pytest.param({"image.digest": "sha256:12"}, ["/image/digest", "pattern"], id="digest"),
    ],
)
def test_a_mistake_is_refused_by_name(each_helm, values, words):
    refusal = each_helm.refusal(values)
    for word in words:
        assert word in refusal


def test_helms_own_global_key_is_no_typo(each_helm):
    assert each_helm.render({"global": {"region": "eu"}}).of_kind("Deployment")


def test_the_defaults_of_values_yaml_are_those_of_the_schema():
    assert Values.model_validate(yaml.safe_load(VALUES_TEXT)) == Values()


def test_values_yaml_shows_every_key():
    shown = yaml.safe_load(_with_commented_values(VALUES_TEXT))
    assert set(_paths(shown)) == set(_paths(Values().model_dump(by_alias=True))) - {"global"}


def test_everything_sets_every_key():
    missing = {path for path in _paths(Values().model_dump(by_alias=True)) if not _has(EVERYTHING, path.split("."))}
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


def _with_commented_values(text):
    """values.yaml with its `# key: value` lines in force."""
    return re.sub(r"^( *)# (\w+: \S+)$", r"\1\2", text.replace(": {}\n  #", ":\n  #"), flags=re.MULTILINE)


def _paths(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


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
