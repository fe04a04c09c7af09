"""The site: what docs/index.md makes of pages, what fails a build, and versions side by side."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from dev.machine.errors import DevError
from dev.site.sections import from_root, write_sections
from dev.site.tree import tags
from dev.site.versions import Version, build_site, preferred_of

INDEX = """\
# Acme

What it is.

## Start

Begin here.

- [Install](install.md): step by step.
- [Read me](../README.md): the front page.

## Look up

- [Decisions](adr): one page each.
"""
PAGES = {
    "worker/jobtide/_version.py": '__version__ = "0.2.0"\n',
    "README.md": "# Read me\n\n[all pages](docs/index.md)\n",
    "docs/index.md": INDEX,
    "docs/install.md": "# Install\n\n[code](../worker/jobtide/_version.py)\n\n[why](adr)\n\n[b](#b)\n\n## B\n",
    "docs/adr/2026-01-01-one.md": "# The first decision\n\n[that heading](../install.md#b)\n",
    "docs/adr/2026-01-02-two.md": "# The second decision\n",
}


def git(folder, *arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder, pages):
    for path, text in pages.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.fixture
def root(tmp_path):
    write(tmp_path, PAGES)
    git(tmp_path, "init", "--quiet")
    return tmp_path


def built(root, *arguments):
    command = [sys.executable, "-m", "dev.site", "--root", root, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def commit(root, *, tag):
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", tag)
    git(root, "tag", tag)


# docs/index.md


def test_each_heading_of_the_index_is_a_section_with_its_pages_in_their_order(root):
    write_sections(root)
    assert "Begin here." in (root / "start.md").read_text()
    entries = re.findall(r"^(.*) <(.*)>$", (root / "start.md").read_text(), re.MULTILINE)
    assert entries == [("Install", "/docs/install"), ("Read me", "/README")]
    assert (root / "index.md").read_text().endswith(":hidden:\n\nstart\nlook-up\n```\n")


def test_a_folder_in_the_index_stands_for_all_its_pages_the_newest_decision_first(root):
    write_sections(root)
    assert "Decisions </docs/adr/README>" in (root / "look-up.md").read_text()
    assert re.findall(r"^- \[(.*)\]", (root / "docs/adr/README.md").read_text(), re.MULTILINE) == [
        "The second decision",
        "The first decision",
    ]


def test_the_readme_of_a_folder_stays_its_first_page(root):
    write(root, {"docs/adr/README.md": "# How we decide\n"})
    write_sections(root)
    assert (root / "docs/adr/README.md").read_text().startswith("# How we decide\n\n```{toctree}")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](page.md#part)", "[a](docs/page.md#part)"),
        ("[a](../README.md)", "[a](README.md)"),
        ("[a](https://example.com/a.md)", "[a](https://example.com/a.md)"),
        ("[a](#part)", "[a](#part)"),
    ],
)
def test_links_of_the_index_are_links_from_the_root_of_the_site(link, expected):
    assert from_root(link) == expected


# Tags


@pytest.mark.parametrize(
    ("given", "words"),
    [("v9.9.9", r"no tag 'v9.9.9' in this repository; it has v0.1.0"), ("v0.1.0", "v0.1.0 has no docs/index.md")],
)
def test_a_tag_without_a_site_is_refused_by_name(root, given, words):
    (root / "docs/index.md").unlink()
    commit(root, tag="v0.1.0")
    with pytest.raises(DevError, match=words):
        build_site(root, root / "build/site", releases=[given])


def test_versions_are_in_their_order_a_pre_release_before_its_release(root):
    ordered = ["v0.2.0", "v0.9.0-rc2", "v0.9.0-rc10", "v0.9.0", "v0.10.0-rc1"]
    for tag in sorted(ordered):
        write(root, {"of": tag})
        commit(root, tag=tag)
    assert tags(root) == ordered


@pytest.mark.parametrize(
    ("tagged", "expected"),
    [(["0.2.0", "0.3.0-rc1"], "0.2.0"), (["0.2.0", "0.3.0"], "0.3.0"), (["0.3.0-rc1"], "0.3.0-rc1"), ([], "0.4.0")],
    ids=["a pre-release is newer", "releases", "pre-releases alone", "no tag"],
)
def test_the_site_opens_with_the_newest_release(tagged, expected):
    versions = [*(Version(name, f"v{name}") for name in tagged), Version("0.4.0", None)]
    assert preferred_of(versions).name == expected


@pytest.mark.parametrize("url", ["docs.example.com", "https://", "ftp://docs.example.com/", "/a path/", "/docs/?v=1"])
def test_what_is_no_address_of_a_site_is_refused(root, url):
    with pytest.raises(DevError, match=r"is no address of a site: write https://"):
        build_site(root, root / "build/site", base=url)


# The site


@pytest.mark.slow
def test_every_problem_of_the_pages_fails_the_build_and_is_named_with_its_file_and_line(root):
    broken = ["# Broken", "[a](gone.md)", "[b](install.md#gone)", "[c](#gone)", "![d](gone.png)", "[e](../worker)"]
    index = f"{INDEX}- [No page](none.md): is not there.\n"
    write(root, {"docs/broken.md": "\n\n".join(broken), "docs/index.md": index})
    done = built(root)
    assert done.returncode == 1
    for problem in (
        "docs/broken.md: WARNING: document isn't included in any toctree",
        "docs/broken.md:3: WARNING: 'myst' cross-reference target not found: 'gone.md'",
        "docs/broken.md:5: WARNING: local id not found in doc 'docs/install': 'gone'",
        "docs/broken.md:7: WARNING: 'myst' cross-reference target not found: 'gone'",
        "docs/broken.md:9: WARNING: image file not readable: docs/gone.png",
        "docs/broken.md:11: WARNING: 'myst' cross-reference target not found: '../worker'",
        "WARNING: toctree contains reference to nonexisting document 'docs/none'",
        "error: the documentation of 0.2.0 has the problems above",
    ):
        assert problem in done.stderr
    assert str(root) not in done.stderr


@pytest.mark.slow
def test_a_release_and_the_checkout_stand_side_by_side_and_every_link_leads_somewhere(root):
    commit(root, tag="v0.2.0")
    write(root, {"worker/jobtide/_version.py": '__version__ = "0.3.0"\n', ".gitignore": "/build/\n"})
    done = built(root, "v0.2.0", "--url", "https://docs.example.com/acme/")
    assert (done.returncode, done.stdout) == (0, f"{root}/build/site/index.html\n"), done.stderr
    site = root / "build/site"
    assert json.loads((site / "versions.json").read_text()) == [
        {"version": "0.3.0", "name": "0.3.0 (in work)", "url": "https://docs.example.com/acme/0.3.0/"},
        {"version": "0.2.0", "name": "0.2.0", "url": "https://docs.example.com/acme/0.2.0/", "preferred": True},
    ]
    assert "url=0.2.0/" in (site / "index.html").read_text()  # opens with the newest release
    code = site / "0.3.0/worker/jobtide/_version.py.html"
    assert "0.3.0" in re.sub("<.*?>", "", code.read_text())
    for page in (site / "0.3.0/docs/install.html", site / "0.3.0/README.html", site / "0.3.0/index.html"):
        targets = re.findall(r'href="(?!https?:)([^"#]+)[^"]*"', page.read_text())
        assert [target for target in targets if not (page.parent / target.split("?")[0]).exists()] == []
