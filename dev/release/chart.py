"""The chart and the chart with the CRD alone, packaged by Helm, with what only a release knows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dev.images.published import image_name
from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.shell import run
from dev.release.archive import read_tar_gz, write_tar_gz
from dev.release.notes import Notes
from dev.release.tree import Tree
from dev.tools.toolchain import ensure_tools

CHART = "charts/jobtide"
CRDS = "crds/jobworkerpools.yaml"
# Read by the template: a packaged chart runs the image that was made with it, wherever it is mirrored.
DIGEST = "jobtide.dev/image-digest"
_CRD_CHART_KEYS = ("apiVersion", "version", "appVersion", "kubeVersion", "home", "icon", "sources", "maintainers")
_CRD_CHART_README = """\
# Jobtide's CRD

The CRD `JobWorkerPool` in a release of its own, for clusters where only an administrator may create CRDs. Install the
chart `jobtide` beside it with `--set crds.enabled=false`. An uninstall keeps the CRD, and with it all pools.
"""


def package_charts(tree: Tree, out: Path, notes: Notes, digests: Mapping[str, str]) -> None:
    """Writes jobtide-<version>.tgz and jobtide-crds-<version>.tgz. `digests` are those of the images."""
    source = tree.root / CHART
    metadata = yaml.safe_load((source / "Chart.yaml").read_text())
    with scratch_directory(cache_directory() / "builds") as scratch:
        chart, crds = scratch / "jobtide", scratch / "jobtide-crds"
        shutil.copytree(source, chart)
        _write(chart / "Chart.yaml", released(metadata, notes, digests))
        (crds / "templates").mkdir(parents=True)
        _write(crds / "Chart.yaml", crd_chart(metadata))
        _write(crds / "templates/crd.yaml", kept(yaml.safe_load((tree.root / CRDS).read_text())))
        (crds / "README.md").write_text(_CRD_CHART_README)
        helm = ensure_tools("helm")["helm"]
        for folder in (chart, crds):
            run([helm, "package", folder, "--destination", scratch])
            name = f"{folder.name}-{tree.version}.tgz"
            write_tar_gz(out / name, read_tar_gz(scratch / name), tree.epoch)


def released(metadata: Mapping[str, Any], notes: Notes, digests: Mapping[str, str]) -> dict[str, Any]:
    """Chart.yaml of a release: its changes, and its images with their digests."""
    changes = [{"kind": change.kind, "description": change.description} for change in notes.changes]
    images = [{"name": name, "image": f"{image_name(name)}@{digest}"} for name, digest in sorted(digests.items())]
    computed = {
        "artifacthub.io/changes": _text(changes),
        "artifacthub.io/images": _text(images),
        "artifacthub.io/containsSecurityUpdates": _flag(any(change.kind == "security" for change in notes.changes)),
        "artifacthub.io/prerelease": _flag("-" in str(metadata["version"])),
        DIGEST: digests["controller"],
    }
    return {**metadata, "annotations": {**metadata["annotations"], **computed}}


def crd_chart(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Chart.yaml of the chart that has nothing but the CRD."""
    shared = {key: metadata[key] for key in _CRD_CHART_KEYS if key in metadata}
    description = "The CRD JobWorkerPool of the chart jobtide, as a release of its own"
    annotations = {key: metadata["annotations"][key] for key in ("artifacthub.io/category", "artifacthub.io/license")}
    names = {"name": "jobtide-crds", "description": description, "type": "application"}
    return {**shared, **names, "annotations": annotations}


def kept(crd: Mapping[str, Any]) -> dict[str, Any]:
    """The CRD, which stays when its release is uninstalled: without it, every pool would be deleted."""
    metadata = {**crd["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}
    return {**crd, "metadata": metadata}


def _write(file: Path, value: Any) -> None:
    file.write_text(_text(value))


def _text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)


def _flag(value: bool) -> str:  # noqa: FBT001 - annotations are strings
    return "true" if value else "false"
