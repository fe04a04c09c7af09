"""The generated files of the repository: their paths and generators.

A generator is a function without arguments that returns the whole text of its file. To add one, add a line to
GENERATORS. The files are committed; `python -m dev.generate --check` fails if one of them is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dev.generate import cli, crd, reference, values, values_page
from dev.generate.dashboards import fleet, pool

GENERATORS: Mapping[str, Callable[[], str]] = {
    "crds/jobworkerpools.yaml": crd.manifest,
    "charts/jobtide/templates/crd.yaml": crd.chart_template,
    "charts/jobtide/values.schema.json": values.render,
    "charts/jobtide/dashboards/fleet.json": fleet.text,
    "charts/jobtide/dashboards/pool.json": pool.text,
    "docs/reference.md": reference.render,
    "docs/values.md": values_page.render,
    "docs/cli.md": cli.render,
}
