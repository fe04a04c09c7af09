"""Dashboards and alerts find what they ask for: in a real Prometheus, of real controllers and a real worker."""

from __future__ import annotations

import json
import math
import re
import subprocess

import pytest
import yaml

from dev.machine.wait import wait_until
from dev.tools.toolchain import ensure_tools
from jobtide import __version__
from tests.cluster.controllers import until
from tests.cluster.expressions import labels
from tests.cluster.scene import scene as begun
from tests.pages import DASHBOARDS, ROOT, shown

FOLDER = ROOT / "charts/jobtide/dashboards"
NAMES = ("fleet", "pool")
MINUTES = "10m"  # longer than the scene: a rate covers all of it


def dashboard(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def panels():
    for name in NAMES:
        for panel in dashboard(name)["panels"]:
            for target in panel.get("targets", ()):
                yield pytest.param(name, target, id=f"{name}: {panel['title']} {target['refId']}")


def variables():
    for name in NAMES:
        for variable in dashboard(name)["templating"]["list"]:
            if variable["type"] == "query":
                yield pytest.param(name, variable, id=f"{name}: {variable['name']}")


@pytest.fixture(scope="module")
def scene(plane, anywhere, server, tmp_path_factory):
    scraped = shown(DASHBOARDS, "scrape without the operator")
    with begun(plane, anywhere, server, tmp_path_factory.mktemp("scene"), scraped) as running:
        yield running


@pytest.fixture
def filled(scene):
    """An expression as Grafana sends it: with the pool thumbs chosen, or everything where several can be."""
    chosen = {"namespace": scene.namespace, "pool": "thumbs", "database": "main", "type": "(thumbs|video)"}

    def fill(name, expression):
        values = chosen | {"tenant": ".+", "__rate_interval": MINUTES}
        if name == "fleet":
            values |= dict.fromkeys(("namespace", "pool", "database"), ".+")
        return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)

    return fill


@pytest.mark.parametrize(("name", "target"), [*panels()])
def test_a_query_finds_data_with_the_labels_of_its_legend(scene, filled, name, target):
    query = filled(name, target["expr"])

    def finite():
        return [named for named, value in scene.prometheus.values(query) if math.isfinite(value)]

    found = wait_until(f"data of {query}", finite, within_seconds=60)
    for named in found:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set(named)


@pytest.mark.parametrize(("name", "variable"), [*variables()])
def test_a_choice_has_the_values_that_there_are(scene, filled, name, variable):
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
    expected = {"namespace": scene.namespace, "pool": "thumbs", "database": "main", "type": "video"}

    def offered():
        found = scene.prometheus.label_values(filled(name, selector), label)
        return found and expected.get(variable["name"], found[0]) in found

    wait_until(f"values of {variable['name']}", offered, within_seconds=60)


def test_two_controllers_that_are_scraped_twice_double_no_number(scene, filled):
    stats = {one["title"]: one["targets"][0]["expr"] for one in dashboard("fleet")["panels"] if one["type"] == "stat"}

    def holds(asked, expected):
        """In the end: a machine that stands still may lose a scrape, the database or the lease for a moment."""
        wait_until(f"{asked}: {expected}", lambda: scene.prometheus.values(asked) == expected, within_seconds=60)

    def shows(title, number):
        holds(filled("fleet", stats[title]), [({}, number)])

    holds("count(jobtide_leader)", [({}, 4)])
    shows("Controllers that lead", 1)
    waiting = "SELECT count(*) FROM job_queue WHERE status = 'pending' AND type IN ('thumbs', 'video')"
    shows("Jobs waiting", scene.jobs.execute(waiting).fetchone()[0])
    shows("Workers ready", 1)
    shows("Databases unreadable", 1)
    shows("Pools behind", 1)
    (versions,) = [one["targets"][0]["expr"] for one in dashboard("fleet")["panels"] if one["title"] == "Versions"]
    holds(versions, [({"version": __version__}, 2)])


@pytest.fixture(scope="module")
def rules():
    """The alerts that the chart makes."""
    command = [ensure_tools("helm")["helm"], "template", "jobtide", ROOT / "charts/jobtide", "--namespace=dashboards"]
    operator = "--api-versions=monitoring.coreos.com/v1/PrometheusRule"
    done = subprocess.run(
        [*command, operator, "--show-only=templates/prometheusrule.yaml"], capture_output=True, text=True, check=True
    )
    return yaml.safe_load(done.stdout)["spec"]["groups"][0]["rules"]


def test_every_alert_reads_metrics_that_there_are_by_labels_that_they_have(scene, rules):
    def labels_of(metric):
        return until(lambda: scene.prometheus.labels_of(metric), seconds=20)

    for rule in rules:
        kept = labels(scene.prometheus.parsed(rule["expr"]), labels_of) | set(rule["labels"])
        said = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", said)) <= kept, rule["alert"]


def test_an_alert_that_asks_for_what_is_not_there_is_found(scene):
    def read(query):
        return labels(scene.prometheus.parsed(query), scene.prometheus.labels_of)

    assert read("max by (namespace, pool) (jobtide_pool_pending) > 1") == {"namespace", "pool"}
    assert read("rate(jobtide_read_seconds_count[5m])") >= {"database", "instance", "job"}
    with pytest.raises(AssertionError, match=r"names .'typo'"):
        read("max by (namespace, typo) (jobtide_pool_pending)")
    with pytest.raises(AssertionError, match=r"names .'pool'"):
        read("jobtide_pool_pending and on (pool) jobtide_type_pending")
    with pytest.raises(AssertionError, match=r"names .'reasons'"):
        read('jobtide_pool_behind{reasons="PromiseMissed"}')
