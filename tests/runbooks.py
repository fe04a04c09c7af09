"""The runbooks: the code blocks of all of them, by language, so that each level runs what it can."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pages import ROOT, blocks, commands

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(str(path.relative_to(ROOT)) for path in FOLDER.glob("Jobtide*.md"))
# sh: unit/repo (which program), postgres (jobtide), cluster (kubectl). sql and its result, text: postgres.
# console: unit/repo compares its lines with what the plugin prints, cluster runs its command.
LANGUAGES = {"sh", "sql", "text", "console"}


def blocks_of(page: str, language: str) -> list[str]:
    """The texts of the page's blocks in this language."""
    return [text for found, text in blocks(page) if found == language]


def shell_commands(program: str) -> list[list[str]]:
    """The words of each command of this program in a shell block, each once."""
    words = [one for page in PAGES for text in blocks_of(page, "sh") for one in commands(text)]
    return [list(one) for one in dict.fromkeys(tuple(one) for one in words if one[0] == program)]


def console_commands() -> list[str]:
    """The commands whose output a page shows, each once."""
    found = [text.partition("\n")[0] for page in PAGES for text in blocks_of(page, "console")]
    return [line.removeprefix("$ ") for line in dict.fromkeys(found)]


def statements() -> list[tuple[str, str, str]]:
    """Page, statement and the heading of its result, of each block of SQL."""
    found = []
    for page in PAGES:
        for text, result in re.findall(
            r"^```sql\n(.*?)^```\n\n```text\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
        ):
            found.append((page, text, result.partition("\n")[0]))
    return found


def name_of(page: str) -> str:
    """The alert of a page."""
    return Path(page).stem
