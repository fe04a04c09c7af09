"""The pages that a new user walks, and for each of their code blocks the test that shows that it is true.

A test gets a block by its name, so a page that lies makes it fail. tests/unit/repo/test_pages.py refuses a block that
has no line here, and a line whose test does not name the block.
"""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = "README.md"
QUICKSTART, INSTALL = "docs/quickstart.md", "docs/install.md"
EXPLAIN, OPERATIONS = "docs/explain.md", "docs/operations.md"


class Way(StrEnum):
    """How a block is checked."""

    RUN = "run as it is shown, with the placeholders filled in"
    RENDERED = "compared with what the code renders"
    PARSED = "compared with what its program or file accepts: it needs an index, a registry or an engine"


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    name: str
    way: Way
    test: str  # a file below tests/


_REPO, _CHART, _CLUSTER = "unit/repo/test_pages.py", "unit/chart/test_pages.py", "cluster/test_pages.py"
_TABLE, _DEV = "postgres/schema/test_pages.py", "postgres/embedded/test_front_page.py"

# In the order of each page.
BLOCKS: dict[str, tuple[Block, ...]] = {
    README: (
        Block("sh", "make demo", Way.PARSED, _REPO),
        Block("sh", "install and start", Way.RUN, _DEV),
        Block("python", "handler", Way.RUN, _DEV),
        Block("sql", "job", Way.RUN, _DEV),
        Block("yaml", "pool", Way.RUN, _DEV),
        Block("console", "pools of a cluster", Way.RENDERED, _REPO),
    ),
    QUICKSTART: (
        Block("sh", "install here", Way.PARSED, _REPO),
        Block("python", "handler", Way.RUN, _DEV),
        Block("sh", "start", Way.RUN, _DEV),
        Block("sh", "add jobs", Way.RUN, _DEV),
        Block("", "what the terminal shows", Way.RENDERED, _DEV),
        Block("sh", "programs of the local cluster", Way.RUN, _CLUSTER),
        Block("sh", "make the table", Way.RUN, _TABLE),
        Block("sql", "logins", Way.RUN, _TABLE),
        Block("sh", "build the images", Way.PARSED, _REPO),
        Block("sh", "install the controller", Way.RUN, _CLUSTER),
        Block("dockerfile", "image of the handler", Way.PARSED, _REPO),
        Block("sh", "secret of the workers", Way.RUN, _CLUSTER),
        Block("yaml", "pool", Way.RUN, _CLUSTER),
        Block("sql", "first job", Way.RUN, _TABLE),
        Block("console", "the pool starts", Way.RENDERED, _REPO),
    ),
    INSTALL: (
        Block("sh", "make the table", Way.RUN, _TABLE),
        Block("sql", "logins", Way.RUN, _TABLE),
        Block("sh", "secret of the controller", Way.RUN, _CLUSTER),
        Block("sh", "build and install", Way.RUN, _CLUSTER),
        Block("sh", "secret of the workers", Way.RUN, _CLUSTER),
        Block("yaml", "several databases", Way.RENDERED, _CHART),
        Block("yaml", "several teams", Way.RENDERED, _CHART),
        Block("yaml", "admission policy", Way.RENDERED, _CHART),
        Block("yaml", "own CA", Way.RENDERED, _CHART),
        Block("yaml", "some namespaces", Way.RENDERED, _CHART),
    ),
    EXPLAIN: (
        Block("sh", "three commands", Way.RUN, _CLUSTER),
        Block("sh", "install the plugin", Way.PARSED, _REPO),
        Block("console", "why", Way.RENDERED, _REPO),
        Block("", "message of a stalled pool", Way.RENDERED, _REPO),
    ),
    OPERATIONS: (
        Block("sh", "upgrade", Way.RUN, _CLUSTER),
        Block("sh", "uninstall", Way.RUN, _CLUSTER),
        Block("sh", "adopt the CRD", Way.RUN, _CLUSTER),
        Block("sh", "remove everything", Way.RUN, _CLUSTER),
        Block("yaml", "connection budget", Way.RENDERED, _CHART),
        Block("yaml", "retention", Way.PARSED, _REPO),
        Block("console", "outage", Way.RENDERED, _REPO),
        Block("sh", "inspect", Way.RUN, _CLUSTER),
    ),
}

_FENCED = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAMS = "kubectl|helm|jobtide|make|pip|python3|docker"
_INLINE = re.compile(rf"(?<!`)`((?:{_PROGRAMS})[^`\n]*)`")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of all fenced blocks."""
    return _FENCED.findall((ROOT / page).read_text())


def shown(page: str, name: str) -> str:
    """The text of the block of this name."""
    (position,) = [number for number, block in enumerate(BLOCKS[page]) if block.name == name]
    language, text = blocks(page)[position]
    assert language == BLOCKS[page][position].language, f"{page}: block {position + 1} is not {name!r}"
    return text


def commands(text: str) -> list[list[str]]:
    """The words of each command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_commands(page: str, program: str) -> list[str]:
    """Commands of this program inside the text; one that is only named (`kubectl apply`) is none."""
    prose = _FENCED.sub("", (ROOT / page).read_text())
    found = [text for text in _INLINE.findall(prose) if text.split()[0] == program]
    return [text for text in found if len(text.split()) > 2]
