"""A Sphinx extension for links that a forge resolves: to folders, and to files that are no pages.

A link to a folder leads to the README.md in it, and a link to a source file to a page that shows the file. SQL is that
of PostgreSQL.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import PostgresLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx

from dev.site.tree import INDEX


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_lexer("sql", PostgresLexer)
    shown: set[str] = set()
    app.connect("doctree-read", lambda app, doctree: _lead(app, doctree, shown))
    app.connect("html-collect-pages", lambda app: _file_pages(app, shown))
    return {"version": "1", "parallel_read_safe": False}


def _lead(app: Sphinx, doctree: nodes.document, shown: set[str]) -> None:
    for link in list(doctree.findall(addnodes.pending_xref)):
        if f"{link['reftarget']}.md" == INDEX:
            link["reftarget"] = "index"
        elif link["reftype"] == "myst" and link["refdomain"] is None:
            _lead_to_folder(app, link)
    for download in list(doctree.findall(addnodes.download_reference)):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(download["refdoc"]), download["reftarget"]))
        shown.add(path)
        uri = app.builder.get_relative_uri(download["refdoc"], path)
        download.replace_self(nodes.reference("", "", *download.children, internal=True, refuri=uri))


def _lead_to_folder(app: Sphinx, link: addnodes.pending_xref) -> None:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(link["refdoc"]), link["reftarget"]))
    if (app.srcdir / path / "README.md").is_file():
        link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", f"{path}/README", None


def _file_pages(app: Sphinx, shown: set[str]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in sorted(shown):
        text = (app.srcdir / path).read_text("utf-8")
        code = app.builder.highlighter.highlight_block(text, _language(path))  # type: ignore[attr-defined]
        yield path, {"title": path, "body": f"<h1>{escape(path)}</h1>{code}", "parents": []}, "page.html"


def _language(path: str) -> str:
    try:
        return str(get_lexer_for_filename(Path(path).name).aliases[0])
    except ClassNotFound:
        return "text"
