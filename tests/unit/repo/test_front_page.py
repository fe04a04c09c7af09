"""What README and quickstart show is what there is: figures, commands, pools, tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from jobtide_controller.api.refusals import refusals
from jobtide_controller.render import columns

ROOT = Path(__file__).parents[3]
README, QUICKSTART = ROOT / "README.md", ROOT / "docs/quickstart.md"
FRONT = [README, QUICKSTART, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("examples/*/README.md"))]
NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,?\d{3})*(?:\.\d+)?(?![\w,.]\d)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def sections(path: Path) -> dict[str, str]:
    """The text below each heading, by the anchor that a link to it has."""
    parts = re.split(r"^#+ (.*)\n", path.read_text(), flags=re.MULTILINE)
    return {heading.lower().replace(" ", "-"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def proof() -> list[tuple[str, str, str, list[str]]]:
    """Each row of the README's proof: what, the page, the anchor, the figures."""
    table = README.read_text().split("| measured |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| \[(.*?)\]\((.*?)#(.*?)\) \|(.*)\|$", table, re.MULTILINE)
    assert len(rows) == table.count("\n") - 1, "a row of the proof has no link to where it was measured"
    return [(what, page, anchor, NUMBER.findall(f"{what} {figures}")) for what, page, anchor, figures in rows]


@pytest.mark.parametrize(("what", "page", "anchor", "figures"), proof(), ids=lambda value: str(value)[:20])
def test_every_figure_of_the_proof_is_where_its_link_leads(what, page, anchor, figures):
    measured = sections(ROOT / page)[anchor]
    assert figures
    assert [figure for figure in figures if not _is_in(figure, measured)] == [], what


def _is_in(figure: str, measured: str) -> bool:
    """0.82 is in a page with 0.823."""
    decimals = len(figure.partition(".")[2])
    return any(f"{_value(found):.{decimals}f}" == figure.replace(",", "") for found in NUMBER.findall(measured))


def _value(figure: str) -> float:
    return float(figure.replace(",", ""))


@pytest.mark.parametrize("page", FRONT, ids=name)
def test_every_make_command_is_a_target(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert shown - targets == set()


@pytest.mark.parametrize("page", [README, QUICKSTART], ids=name)
def test_every_pool_that_is_shown_is_accepted(page):
    pools = [document for block in blocks(page, "yaml") for document in yaml.safe_load_all(block)]
    assert pools
    assert [refusals(pool) for pool in pools] == [[]] * len(pools)


@pytest.mark.parametrize("page", [README, QUICKSTART], ids=name)
def test_the_table_of_kubectl_has_the_columns_of_the_crd(page):
    (heading,) = re.findall(r"kubectl get jwp.*\n(.*)", page.read_text())
    assert tuple(heading.removeprefix("NAMESPACE").split()) == columns.head()


def test_the_types_of_the_quickstarts_handler_are_those_of_its_pool():
    (handler,) = blocks(QUICKSTART, "python")
    (pool,) = blocks(QUICKSTART, "yaml")
    assert re.findall(r'@tide\.job\("(.*?)"\)', handler) == yaml.safe_load(pool)["spec"]["types"]


@pytest.mark.parametrize("page", FRONT, ids=name)
def test_no_page_has_a_number_of_tests(page):
    assert re.findall(r"\d[\d,]* tests", page.read_text()) == []
