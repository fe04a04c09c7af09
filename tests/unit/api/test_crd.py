"""The CRD as data: structural, documented, and consistent with its models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dev.generate import crd as generated
from jobtide_controller.api.crd import COLUMNS, crd, structural
from jobtide_controller.api.rules import rule
from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec

VERSION = crd()["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]

UNITS = {"Seconds": "second", "Replicas": "worker", "maxAttempts": "attempt", "concurrency": "job"}


def _walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from _walk(value, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from _walk(schema[part], f"{path}.{part}")


NODES = list(_walk(ROOT, ""))
FIELDS = [(path, node) for path, node in NODES if not path.endswith(("items", "additionalProperties", ".metadata"))][1:]


def _at(path: str) -> dict[str, Any]:
    node = ROOT
    for name in path.removeprefix(".").split("."):
        node = node["properties"][name]
    return node


@pytest.mark.parametrize("column", [pytest.param(column, id=column.name) for column in COLUMNS])
def test_every_column_shows_a_field_that_exists(column):
    if column.path == ".metadata.creationTimestamp":
        assert column.type == "date"
    else:
        assert _at(column.path)["type"] == column.type


@pytest.mark.parametrize("path", VERSION["subresources"]["scale"].values())
def test_scale_subresource_points_at_fields_that_exist(path):
    assert _at(path)["type"] in ("integer", "string")


@pytest.mark.parametrize(("path", "node"), [pytest.param(path, node, id=path) for path, node in NODES])
def test_schema_is_structural(path, node):
    assert "type" in node
    assert not {"$ref", "$defs", "anyOf", "allOf", "title", "const", "exclusiveMinimum"} & node.keys()
    assert not (node.get("additionalProperties") is False and "properties" in node)


@pytest.mark.parametrize(("path", "node"), [pytest.param(path, node, id=path) for path, node in FIELDS])
def test_every_field_is_described(path, node):
    assert node["description"].endswith((".", ")")), path


@pytest.mark.parametrize(
    ("path", "node"), [pytest.param(path, node, id=path) for path, node in FIELDS if path.startswith(".spec.")]
)
def test_every_field_of_the_spec_says_its_default_and_unit(path, node):
    text = node["description"]
    assert any(word in text for word in ("Default:", "Unset:", "Required"))
    for suffix, unit in UNITS.items():
        if path.endswith(suffix):
            assert unit in text.lower()


@pytest.mark.parametrize(
    ("path", "node"),
    [pytest.param(path, node, id=path) for path, node in FIELDS if "default" in node and node["type"] != "object"],
)
def test_described_default_is_the_default(path, node):
    default = str(node["default"]).lower() if node["type"] == "boolean" else node["default"]
    assert f"Default: {default}" in node["description"], path


def test_the_status_has_one_default_which_observes_no_generation():
    defaults = {path: node["default"] for path, node in NODES if path.startswith(".status") and "default" in node}
    assert defaults == {".status": {"observedGeneration": -1}}


def test_lists_and_strings_of_the_spec_are_bounded():
    """The API server estimates the cost of a rule from the longest values that the schema allows."""
    bounds = {"array": "maxItems", "string": "maxLength"}
    unbounded = [
        path
        for path, node in NODES
        if path.startswith(".spec") and node["type"] in bounds and bounds[node["type"]] not in node
        if "enum" not in node and "format" not in node and not path.endswith("additionalProperties")
    ]
    assert unbounded == []


def test_every_rule_has_a_message_without_placeholders():
    rules = [rule for _, node in NODES for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) >= 12
    assert not [entry["message"] for entry in rules if "%" in entry["message"]]


def test_rule_without_values_needs_no_expression():
    assert rule("true", "never") == {"rule": "true", "message": "never"}


def test_union_is_refused_by_name():
    with pytest.raises(ValueError, match="'either' is a union"):
        structural({"description": "either", "anyOf": [{"type": "string"}, {"type": "integer"}]})


def test_chart_keeps_the_crd_on_uninstall_and_can_leave_it_out():
    text = generated.chart_template()
    lines = text.splitlines()
    assert (lines[1], lines[-1]) == ("{{- if .Values.crds.enabled }}", "{{- end }}")
    resource = yaml.safe_load("\n".join(lines[2:-1]))
    assert resource["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert resource["spec"] == yaml.safe_load(generated.manifest())["spec"]


def test_models_name_fields_as_kubernetes_does():
    for model in (JobWorkerPoolSpec, JobWorkerPoolStatus):
        names = structural(model.model_json_schema())["properties"]
        assert not [name for name in names if "_" in name]
