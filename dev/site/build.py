"""One run of Sphinx over one copied tree.

Every warning is an error: a broken link or anchor, a missing picture, a page in no section.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.console import strip_colors
from sphinx.util.docutils import docutils_namespace, patch_docutils

from dev.machine.errors import DevError
from dev.site.sections import write_sections

_STATIC = Path(__file__).with_name("static")


def build(tree: Path, output: Path, version: str) -> None:
    """Writes the pages of the tree. Raises DevError if Sphinx warns: it has printed why, with file and line."""
    write_sections(tree)
    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():  # what one run registers is not there in the next
        app = Sphinx(
            srcdir=tree,
            confdir=None,
            outdir=output,
            doctreedir=tree / ".doctrees",
            buildername="html",
            confoverrides=_settings(version),
            status=None,
            warning=warnings,
            warningiserror=True,
        )
        app.build(force_all=True)
    print(strip_colors(warnings.getvalue()).replace(f"{tree}/", ""), end="", file=sys.stderr)
    if app.statuscode:
        raise DevError(f"the documentation of {version} has the problems above")


def _settings(version: str) -> dict[str, object]:
    return {
        "extensions": ["myst_parser", "dev.site.extension"],
        "include_patterns": ["*.md", "docs/**.md", "examples/**.md"],
        "exclude_patterns": ["docs/index.md"],
        "project": "Jobtide",
        "release": version,
        "version": version,
        "language": "en",
        "html_title": f"Jobtide {version}",
        "html_theme": "pydata_sphinx_theme",
        "html_static_path": [str(_STATIC)],
        "html_css_files": ["site.css"],
        "html_copy_source": False,
        "html_show_copyright": False,
        "html_use_index": False,
        "html_theme_options": _theme(version),
        "html_context": {"default_mode": "auto"},  # without it, the theme warns in the browser's console
        "html_sidebars": {"index": []},
        "suppress_warnings": ["misc.highlighting_failure"],  # `...` in a block of JSON is for the reader
        "smartquotes": False,  # text stays as it is written: --options, "quotes"
        "myst_heading_anchors": 6,  # the anchors that a forge makes
        # Not Markdown as a forge knows it.
        "myst_disable_syntax": ["myst_role", "myst_target", "myst_line_comment", "myst_block_break"],
    }


def _theme(version: str) -> dict[str, object]:
    return {
        "logo": {"text": "Jobtide"},
        "navbar_align": "left",
        "navbar_end": ["version-switcher", "theme-switcher"],
        "switcher": {"json_url": "../versions.json", "version_match": version},
        "check_switcher": False,  # the file is written when all versions are built
        "show_version_warning_banner": True,
        "search_as_you_type": True,
        "search_bar_text": "Search",
        "show_prev_next": True,
        "show_toc_level": 2,
        "secondary_sidebar_items": ["page-toc"],
        "footer_start": [],
        "footer_end": [],
    }
