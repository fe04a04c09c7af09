"""Everything in the repository that is written by a program: what it is called and what makes it.

A generator is a function without arguments that returns the whole text of its file. To add one, add a line to
GENERATORS. The files are committed; `python -m dev.generate --check` fails when one of them is stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dev.generate import crd, reference, values

GENERATORS: Mapping[str, Callable[[], str]] = {
    "crds/jobworkerpools.yaml": crd.manifest,
    "charts/jobtide/templates/crd.yaml": crd.chart_template,
    "charts/jobtide/values.schema.json": values.render,
    "docs/reference.md": reference.render,
}
