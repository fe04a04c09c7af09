"""Release notes: the section of a version in CHANGELOG.md, as text and as single changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dev.machine.errors import DevError

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
PLACEHOLDER = "Nothing yet."


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the list, without marks of Markdown; `kind` is its heading in lower case."""

    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Notes:
    """A section. `date` is None while the version is in work."""

    date: str | None
    text: str
    changes: tuple[Change, ...]


def notes_of(changelog: str, version: str) -> Notes:
    """Raises DevError if the version has no section, or no change in it."""
    heading = re.search(rf"^## \[{re.escape(version)}\](?: - (\d{{4}}-\d\d-\d\d))?$", changelog, re.MULTILINE)
    if heading is None:
        raise DevError(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`: write what changes for users")
    text = re.split(r"^## ", changelog[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    changes = tuple(_changes(text))
    if not changes:
        raise DevError(f"the section [{version}] of CHANGELOG.md lists no change: write what changes for users")
    return Notes(heading[1], f"{text}\n", changes)


def _changes(text: str) -> Iterator[Change]:
    for title, body in re.findall(r"^### (.+)\n((?:(?!### ).*\n?)*)", text, re.MULTILINE):
        if title not in KINDS:
            raise DevError(f"CHANGELOG.md: `### {title}` is none of {', '.join(KINDS)}")
        for item in re.findall(r"^- (.+(?:\n  .+)*)", body, re.MULTILINE):
            description = _plain(item)
            if description != PLACEHOLDER:
                yield Change(title.lower(), description)


def _plain(markdown: str) -> str:
    """`[words](link)` becomes words; code loses its marks."""
    words = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(markdown.split()))
    return words.replace("`", "").replace("**", "")
