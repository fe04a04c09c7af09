"""The commands of the pages install the chart."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs/quickstart.md", ROOT / "docs/install.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_helm_command_of_the_page_has_values_that_the_chart_accepts(helm, page):
    (command,) = re.findall(r"^(helm install (?:.*\\\n)*.*)", page.read_text(), re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:6] == ["helm", "install", "jobtide", "charts/jobtide", "--namespace", "jobtide-system"]
    assert all(flag == "--set" for flag in words[6::2])
    values = dict(value.split("=", 1) for value in words[7::2])
    rendering = helm.render(values)
    assert rendering.container["image"].startswith(f"{values.get('image.repository', 'jobtide')}")
