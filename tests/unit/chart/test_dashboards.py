"""The dashboards as ConfigMaps, and as Grafana reads them. tests/cluster/test_dashboards.py runs their queries."""

from __future__ import annotations

import json
import re
from itertools import combinations

import pytest
import yaml

from tests.pages import DASHBOARDS, shown

# kubectl apply stores an object once more in an annotation; all annotations together have at most 256 KiB.
MOST_BYTES = 200 * 1024
KINDS = {"row", "timeseries", "stat", "state-timeline"}
# Of Grafana's @grafana/data; after `suffix:` any text is a unit.
UNITS = {"none", "short", "s", "bytes", "percentunit"}
VARIABLES = {
    "fleet": ["datasource", "namespace", "pool", "database"],
    "pool": ["datasource", "namespace", "pool", "database", "type", "tenant"],
}


@pytest.fixture
def maps(helm):
    """The ConfigMaps, by the dashboard's name."""
    found = helm.render({"dashboards.enabled": True}).of_kind("ConfigMap")
    return {one["metadata"]["name"].removeprefix("tide-jobtide-dashboard-"): one for one in found}


@pytest.fixture(params=VARIABLES)
def name(request):
    return request.param


@pytest.fixture
def dashboard(maps, name):
    (text,) = maps[name]["data"].values()
    return json.loads(text)


@pytest.fixture
def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_each_is_a_config_map_that_the_sidecar_of_grafana_finds(maps):
    assert set(maps) == set(VARIABLES)
    for name, one in maps.items():
        assert one["metadata"]["namespace"] == "queue"
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert list(one["data"]) == [f"jobtide-{name}.json"]
        assert len(json.dumps(one).encode()) < MOST_BYTES


@pytest.mark.parametrize(
    ("enabled", "operator", "number"),
    [
        pytest.param("auto", True, 2, id="auto, with the operator's CRDs"),
        pytest.param("auto", False, 0, id="auto, without"),
        pytest.param(True, False, 2, id="on, without"),
        pytest.param(False, True, 0, id="off, with"),
    ],
)
def test_they_are_there_where_the_operator_is_or_where_they_are_wanted(helm, enabled, operator, number):
    rendering = helm.render({"dashboards.enabled": enabled}, prometheus=operator)
    assert len(rendering.of_kind("ConfigMap")) == number
    assert len(helm.render({}, prometheus=operator).of_kind("ConfigMap")) == (2 if operator else 0)


def test_the_values_on_the_page_make_dashboards_and_everything_that_fills_them(helm):
    shown_values = yaml.safe_load(shown(DASHBOARDS, "values"))
    rendering = helm.render(shown_values)
    assert {one["metadata"]["namespace"] for one in rendering.of_kind("ConfigMap")} == {"monitoring"}
    assert {one["metadata"]["name"] for one in rendering.of_kind("ServiceMonitor", "PodMonitor")} == {
        "tide-jobtide",
        "tide-jobtide-workers",
    }


def test_they_go_where_grafana_looks(helm):
    values = {
        "dashboards.enabled": True,
        "dashboards.namespace": "monitoring",
        "dashboards.labels": {"grafana_dashboard": None, "dashboards": "yes"},
        "dashboards.annotations": {"grafana_folder": "Jobtide"},
    }
    for one in helm.render(values).of_kind("ConfigMap"):
        metadata = one["metadata"]
        assert metadata["namespace"] == "monitoring"
        assert metadata["annotations"] == {"grafana_folder": "Jobtide"}
        assert metadata["labels"]["dashboards"] == "yes"
        assert "grafana_dashboard" not in metadata["labels"]


def test_the_address_of_each_is_fixed_and_fits(dashboard, name):
    assert dashboard["uid"] == f"jobtide-{name}"
    assert len(dashboard["uid"]) <= 40
    assert "id" not in dashboard, "a number of one Grafana"


def test_a_link_leads_to_the_other(maps):
    links = set(
        re.findall(r'"url": "/d/([\w-]+)\?', "".join(next(iter(one["data"].values())) for one in maps.values()))
    )
    assert links == {"jobtide-pool"}


def test_numbers_of_panels_are_unique(dashboard):
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


def test_no_panel_covers_another_or_leaves_the_page(dashboard):
    for one in dashboard["panels"]:
        place = one["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24, one["title"]
    for one, other in combinations(dashboard["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} and {other['title']}"


def test_panels_are_of_kinds_that_every_grafana_has(dashboard):
    assert {panel["type"] for panel in dashboard["panels"]} <= KINDS


def test_each_panel_says_what_it_shows_in_which_unit_and_what_nothing_means(panels):
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith((".", "bug.")), panel["title"]
        assert defaults["noValue"], panel["title"]
        assert defaults["unit"] in UNITS or defaults["unit"].startswith("suffix:"), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_titles_of_panels_are_unique(panels):
    titles = [panel["title"] for panel in panels if panel["type"] != "stat"]
    assert len(titles) == len(set(titles))


def test_durations_are_shown_as_durations(panels):
    for panel in panels:
        asked = "".join(target["expr"] for target in panel["targets"])
        is_duration = "histogram_quantile" in asked or bool(re.search(r"_seconds\{", asked))
        assert (panel["fieldConfig"]["defaults"]["unit"] == "s") == is_duration, panel["title"]


def test_every_query_asks_the_chosen_data_source(panels):
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])


def test_every_variable_is_one_of_the_dashboard_and_has_an_effect(dashboard, panels, name):
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert variables == VARIABLES[name]
    asked = json.dumps([panel["targets"] for panel in panels])
    used = set(re.findall(r"\$\{?([a-z]\w*)", asked))
    assert used == set(variables)


def test_legends_name_only_labels_that_the_query_keeps(panels):
    for panel in panels:
        for target in panel["targets"]:
            kept = {label for labels in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in labels.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, target["expr"]


def test_the_monitors_label_series_as_the_page_does_for_others(helm):
    controllers, workers = yaml.safe_load(shown(DASHBOARDS, "scrape without the operator"))["scrape_configs"]
    (monitor,) = helm.render({}).of_kind("ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["honorLabels"] == controllers["honor_labels"]
    (monitor,) = helm.render({}).of_kind("PodMonitor")
    own = [
        (one["sourceLabels"], one["targetLabel"]) for one in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    ]
    shown_ones = [
        (one["source_labels"], one["target_label"]) for one in workers["relabel_configs"] if "target_label" in one
    ]
    # The Prometheus Operator adds these two to every series.
    added = [(["__meta_kubernetes_namespace"], "namespace"), (["__meta_kubernetes_pod_name"], "pod")]
    assert added + own == shown_ones


def test_the_controllers_pods_are_those_that_the_page_finds(helm):
    controllers, _ = yaml.safe_load(shown(DASHBOARDS, "scrape without the operator"))["scrape_configs"]
    template = helm.render({"nameOverride": "jobtide"}).one("Deployment")["spec"]["template"]
    labels, (container,) = template["metadata"]["labels"], template["spec"]["containers"]
    wanted = [labels["app.kubernetes.io/name"], labels["app.kubernetes.io/component"], container["ports"][0]["name"]]
    assert controllers["relabel_configs"][0]["regex"] == ";".join(wanted)
