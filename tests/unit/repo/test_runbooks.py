"""Each alert has its page and reads metrics that there are; the pages' blocks have their checks here and elsewhere."""

from __future__ import annotations

import re

import pytest
import yaml

from dev.generate.alerts import ALERT_NAMES, alerts
from jobtide_controller.decide.clamps import ClampName
from jobtide_controller.decide.reading import UnreadableReason
from jobtide_controller.decide.reasons import Note
from jobtide_controller.render.conditions import CONDITIONS
from tests.pages import ROOT, blocks
from tests.runbooks import FOLDER, LANGUAGES, PAGES, blocks_of, name_of, shell_commands, statements

RULES = yaml.safe_load((ROOT / "charts/jobtide/alerts.yaml").read_text())
# Labels that the scrape adds, by the monitors of the chart.
OF_WORKERS, OF_CONTROLLERS = {"namespace", "pod", "pool"}, {"namespace", "instance", "job"}
SECTIONS = ["What it means", "What to look at", "What to do", "When it is no trouble"]


def test_each_alert_has_its_page_and_each_page_its_alert():
    assert {name_of(page) for page in PAGES} == set(ALERT_NAMES) == {rule["alert"] for rule in RULES}


def test_the_index_has_every_page():
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert listed == [(name, name) for name in ALERT_NAMES]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_four_parts(page):
    text = (ROOT / page).read_text()
    assert text.startswith(f"# {name_of(page)}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS


def test_every_block_has_a_check():
    found = [(page, language) for page in PAGES for language, _ in blocks(page)]
    assert {language for _, language in found} <= LANGUAGES
    with_result = len(statements())
    assert with_result == len([1 for _, language in found if language == "sql"])
    assert with_result == len([1 for _, language in found if language == "text"])
    programs = {text.split()[0] for page in PAGES for block in blocks_of(page, "sh") for text in block.splitlines()}
    assert programs == {"kubectl", "jobtide"}
    assert shell_commands("kubectl")
    assert shell_commands("jobtide")


@pytest.mark.parametrize(
    ("page", "text"), [pytest.param(page, text, id=page) for page in PAGES for text in blocks_of(page, "console")]
)
def test_what_the_plugin_prints_on_a_page_is_what_it_prints(page, text):
    """Those files are compared with the plugin beside them."""
    printed = [path.read_text().splitlines() for path in (ROOT / "tests/unit/plugin/expected").glob("why-*.txt")]
    command, *lines = text.splitlines()
    assert command.startswith("$ kubectl jobtide why thumbs")
    assert lines
    assert any(set(lines) <= set(output) for output in printed)


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_the_numbers_of_a_page_are_the_defaults(name):
    """A page that says "for five minutes" or "an hour" says so of the default."""
    words = {
        "JobtidePromiseMissed": ("forSeconds", 300, "For five minutes"),
        "JobtideAllAttemptsFailing": ("forSeconds", 120, "For two minutes"),
        "JobtideReadingSlow": ("seconds", 0.5, "half a second"),
        "JobtideReadingStale": ("windowSeconds", 300, "five minutes"),
        "JobtideBacklogGrowsAtMax": ("windowSeconds", 900, "15 minutes ago"),
        "JobtideCappedByConnections": ("forSeconds", 900, "For 15 minutes"),
        "JobtideBusyWorkersLost": ("workers", 2, "More than two workers"),
        "JobtideRescuesInABurst": ("jobs", 100, "More than 100 jobs"),
        "JobtideEndsNotWritten": ("seconds", 30, "30 seconds"),
        "JobtideLeasesLost": ("jobs", 5, "more than five jobs in ten minutes"),
        "JobtideDrainOverTime": ("seconds", 120, "two minutes"),
        "JobtideRetentionBehind": ("seconds", 21_600, "six hours"),
        "JobtideOldSnapshot": ("seconds", 3_600, "for an hour"),
        "JobtideDeadRows": ("rows", 100_000, "100,000 dead rows"),
    }
    if name not in words:
        assert not re.search(r"\d+ (seconds|minutes)|(two|five|ten) minutes", meaning(name)), "name its value here"
        return
    key, value, said = words[name]
    assert alerts()().model_dump(by_alias=True)[name][key] == value
    assert said in meaning(name)


def meaning(name: str) -> str:
    text = (FOLDER / f"{name}.md").read_text()
    return text.partition("## What it means")[2].partition("## What to look at")[0].replace("\n", " ")


# Metrics


def declared() -> dict[str, set[str]]:
    """The labels of each metric, with those of the scrape: the pages are compared with the code elsewhere."""
    controller = re.findall(
        r"^\| `(jobtide_\w+)` \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )  # fmt: skip
    labels = {name: {"namespace", *filter(None, text.strip().split(", "))} for name, text in controller}
    for name in (
        "jobtide_leader",
        "jobtide_pool_desired_replicas",
    ):  # of which JobtideTwoLeaders counts the sources
        labels[name] |= OF_CONTROLLERS
    worker = re.findall(r"^\| `(jobtide_worker_\w+)` \| (\w+) \|", (ROOT / "docs/worker.md").read_text(), re.MULTILINE)
    return labels | {name: OF_WORKERS for name, _ in worker}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_reads_metrics_and_labels_that_there_are(rule):
    known = declared()
    texts = [rule["expr"], *rule["annotations"].values()]
    found = [name for text in texts for name in re.findall(r"\bjobtide_\w+", text)]
    assert found
    for name in found:
        assert name in known or re.sub(r"_(sum|count)$", "", name) in known, name
    for text in texts:
        for grouping, inner in re.findall(r"by \(([\w, ]+)\) \(\s*(?:increase\(|rate\()?(jobtide_\w+)", text):
            labels = known.get(inner) or known[re.sub(r"_(sum|count)$", "", inner)]
            assert set(grouping.split(", ")) <= labels, (inner, grouping)
        for name, selector in re.findall(r"(jobtide_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)!?=~?", selector)) <= known[name], (name, selector)


def test_the_values_of_labels_that_rules_select_are_those_of_the_code():
    text = (ROOT / "charts/jobtide/alerts.yaml").read_text().replace('\\"', '"')
    conditions = {name for value in re.findall(r'condition=~?"([\w|]+)"', text) for name in value.split("|")}
    assert conditions
    assert conditions <= set(CONDITIONS)
    assert {*re.findall(r'reason="(\w+)"', text)} <= set(Note)
    assert {*re.findall(r'reason!="(\w+)"', text)} <= set(UnreadableReason)
    assert {*"|".join(re.findall(r'limit=~?"([\w|]+)"', text)).split("|")} <= set(ClampName)
