"""The page's files of other projects are what their packages have: unchanged, and with their licences."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "controller/jobtide_controller/page/static"
VENDOR = STATIC / "vendor"
LICENCES = {"MIT": "Permission is hereby granted, free of charge", "Apache-2.0": "Apache License"}

LISTED = {
    line.split()[0]: line.split()[1:] for line in (VENDOR / "VENDORED.txt").read_text().splitlines() if ".js " in line
}


def test_every_vendored_file_is_listed_and_every_listed_one_is_there():
    assert {path.name for path in VENDOR.glob("*.js")} == set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_a_vendored_file_is_unchanged(name):
    *_, checksum = LISTED[name]
    assert sha256((VENDOR / name).read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize("name", LISTED)
def test_a_vendored_file_comes_with_its_licence(name):
    package, _, _, licence, _ = LISTED[name]
    assert LICENCES[licence] in (VENDOR / f"{package}.LICENSE.txt").read_text()


SOURCES = [
    path for path in STATIC.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"} and VENDOR not in path.parents
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(STATIC)))
def test_the_page_asks_no_other_place(path):
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", re.sub(r"(?m)(^|\s)//\s.*$", "", path.read_text()))
    assert [one for one in addresses if not one.startswith("http://www.w3.org/2000/svg")] == []


def test_the_page_has_no_inline_script_and_no_inline_style():
    """The Content-Security-Policy forbids both."""
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert not re.search(r"<style|style=|\son\w+=", page)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(STATIC)))
def test_every_import_names_a_file_of_the_page(path):
    """Relative, with the file's name: no build step resolves anything."""
    for name in re.findall(r"""(?:from|import\()\s*"([^"]+)\"""", path.read_text()):
        assert name.startswith("."), name
        assert (path.parent / name).is_file(), name
