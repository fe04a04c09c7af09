"""docs/support.md names the versions that the tests run with, and the other pages name the same floors."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import pytest
import yaml

from dev.postgres.programs import VERSIONS
from dev.tools.toolchain import HELM, HELM3, KUBERNETES, OLDEST_KUBERNETES
from tests.pages import INSTALL, QUICKSTART, README, ROOT

PAGE = (ROOT / "docs/support.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = re.findall(r"Python :: (3\.\d+)", str(PROJECT["project"]["classifiers"]))
CHART = yaml.safe_load((ROOT / "charts/jobtide/Chart.yaml").read_text())


def minor(version: str) -> str:
    """v1.30.14 -> 1.30."""
    return version.removeprefix("v").rpartition(".")[0]


def cells(name: str) -> list[str]:
    """The oldest and the newest version of a row."""
    (row,) = re.findall(rf"^\| {name} \| ([^|]*) \| ([^|]*) \| [^|]* \|$", PAGE, re.MULTILINE)
    return list(row)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Kubernetes", [f"{minor(one.version)} ({one.version})" for one in (OLDEST_KUBERNETES, KUBERNETES)]),
        ("PostgreSQL", [str(VERSIONS[0]), str(VERSIONS[-1])]),
        ("Python", [PYTHONS[0], PYTHONS[-1]]),
        ("Helm", [f"{one.version[1]} ({one.version})" for one in (HELM3, HELM)]),
    ],
)
def test_the_versions_of_the_page_are_those_that_the_tests_run_with(name, expected):
    assert cells(name) == expected


def test_the_chart_refuses_what_is_older_than_the_oldest_kubernetes():
    assert CHART["kubeVersion"] == f">={minor(OLDEST_KUBERNETES.version)}.0-0"


def test_the_package_refuses_what_is_older_than_the_oldest_python_and_leaves_none_out():
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert all(int(after[2:]) - int(before[2:]) == 1 for before, after in pairwise(PYTHONS))


def test_the_images_have_the_newest_python():
    assert f"/python:{PYTHONS[-1]}-slim@" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (
            INSTALL,
            "You need Kubernetes {kubernetes} or newer, Helm 4 or 3, a PostgreSQL database ({postgres} or newer,",
        ),
        (
            QUICKSTART,
            "You need a Kubernetes of version {kubernetes} or later, a PostgreSQL of version {postgres} or later",
        ),
        (QUICKSTART, "You need Python {python} or later"),
        (README, "# Python {python} or later"),
        ("CONTRIBUTING.md", "Python {python} or later"),
    ],
)
def test_the_floors_on_other_pages_are_those_of_the_page(page, words):
    floors = {"kubernetes": minor(OLDEST_KUBERNETES.version), "postgres": VERSIONS[0], "python": PYTHONS[0]}
    assert words.format(**floors) in (ROOT / page).read_text()
