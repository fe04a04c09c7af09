"""All of a release, in one folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import yaml

from dev.machine.checkout import VERSION_FILE
from dev.machine.errors import DevError
from dev.release.chart import CHART, package_charts
from dev.release.digests import write_digests
from dev.release.images import build_images
from dev.release.notes import Notes, notes_of
from dev.release.plugin import package_plugin
from dev.release.python import build_distributions
from dev.release.sbom import write_sboms
from dev.release.tree import Tree


def make_release(tree: Tree, out: Path, fresh: Collection[str] = ()) -> None:
    """Writes every file of the release into `out`, which is made. `fresh`: images built without cached layers."""
    notes = checked(tree)
    out.mkdir(parents=True)
    (out / "RELEASE_NOTES.md").write_text(notes.text)
    build_distributions(tree, out)
    digests = build_images(tree, out, fresh)
    package_charts(tree, out, notes, digests)
    package_plugin(tree, out)
    write_sboms(tree, out)
    write_digests(tree, out)


def checked(tree: Tree) -> Notes:
    """The notes of the version. Raises DevError where the files of the tree do not agree on it."""
    chart = yaml.safe_load((tree.root / CHART / "Chart.yaml").read_text())
    for key in ("version", "appVersion"):
        if chart[key] != tree.version:
            raise DevError(f"{CHART}/Chart.yaml has {key} {chart[key]}, and {VERSION_FILE} has {tree.version}")
    return notes_of((tree.root / "CHANGELOG.md").read_text(), tree.version)
