"""What a user can set or see is documented where they look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobtide.commands.settings import VARIABLES
from jobtide.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[3]
PAGES = sorted(path for path in ROOT.glob("**/*.md") if ".venv" not in path.parts and "build" not in path.parts)


@pytest.mark.parametrize("name", VARIABLES)
def test_every_worker_setting_is_documented_with_its_default_and_meaning(name):
    default, meaning = VARIABLES[name]
    assert f"| `{name}` | {default} | {meaning} |".replace("|  |", "| |") in (ROOT / "docs/worker.md").read_text()


@pytest.mark.parametrize("name", METRICS)
def test_every_worker_metric_is_documented_with_its_kind_and_meaning(name):
    kind, meaning = METRICS[name]
    assert f"| `{name}` | {kind} | {meaning} |" in (ROOT / "docs/worker.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_begins_with_its_only_heading_of_the_first_level(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
