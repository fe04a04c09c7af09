"""docs/index.md as the site's start page and navigation.

Each heading of the second level is a section, and each line `- [title](page.md): what it says` below it a page of the
section, in this order. A link to a folder stands for all its pages. A page that no section names fails the build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.site.tree import INDEX

_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)\s]+)\)", re.MULTILINE)
# The order of the pages of a folder: decisions carry dates in their names, the newest is the most interesting.
_NEWEST_FIRST = ("adr",)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of docs/index.md: heading, text, and its entries as titles and paths from the root."""

    title: str
    text: str
    entries: tuple[tuple[str, str], ...]

    @property
    def page(self) -> str:
        """The name of its page, at the root of the site."""
        return self.title.lower().replace(" ", "-")


def write_sections(root: Path) -> None:
    """Writes index.md, a page for each section and a page for each listed folder into the copied tree."""
    head, *parts = re.split(r"^## ", from_root((root / INDEX).read_text()), flags=re.MULTILINE)
    sections = [_section(part) for part in parts]
    listed = "".join(f"## [{section.title}]({section.page}.md)\n{section.text}" for section in sections)
    pages = toctree([section.page for section in sections])
    (root / "index.md").write_text(f"---\nhtml_theme.sidebar_secondary.remove: true\n---\n{head}{listed}\n{pages}")
    for section in sections:
        entries = [f"{title} <{_page(root, title, path)}>" for title, path in section.entries]
        (root / f"{section.page}.md").write_text(f"# {section.title}\n{section.text}\n{toctree(entries)}")


def from_root(text: str) -> str:
    """The text with its relative links as links from the root."""
    return _LINK.sub(lambda link: f"]({posixpath.normpath(f'docs/{link[1]}')})", text)


def toctree(entries: list[str], *options: str) -> str:
    """A directive that makes pages children of the page that has it."""
    return "\n".join(["```{toctree}", ":hidden:", *options, "", *entries, "```", ""])


def _section(part: str) -> Section:
    title, text = part.split("\n", 1)
    return Section(title.strip(), text, tuple(_ENTRY.findall(text)))


def _page(root: Path, title: str, path: str) -> str:
    """The document of an entry: the page, or for a folder its README.md, which is made where there is none."""
    if not (root / path).is_dir():
        return f"/{path.removesuffix('.md')}"
    readme = root / path / "README.md"
    written = readme.read_text() if readme.exists() else f"# {title}\n\n{''.join(_lines(readme.parent))}"
    readme.write_text(f"{written}\n{toctree(['*'], ':glob:', *_order(path))}")
    return f"/{path}/README"


def _order(path: str) -> tuple[str, ...]:
    return (":reversed:",) if posixpath.basename(path) in _NEWEST_FIRST else ()


def _lines(folder: Path) -> Iterator[str]:
    """A line for each page, with its heading."""
    for page in sorted(folder.glob("*.md"), reverse=bool(_order(folder.name))):
        heading = page.read_text().split("\n", 1)[0].removeprefix("# ")
        yield f"- [{heading}]({page.name})\n"
