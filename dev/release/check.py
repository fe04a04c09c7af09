"""What can be wrong with a release, found in seconds: everything but the builds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from dev.images.published import IMAGES
from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.errors import DevError
from dev.release.archive import read_tar_gz
from dev.release.chart import package_charts
from dev.release.make import checked
from dev.release.plugin import PLATFORMS, krew_manifest
from dev.release.tree import Tree

NO_DIGEST = "sha256:" + "0" * 64
FIELDS = ("description", "home", "icon", "keywords", "kubeVersion", "maintainers", "sources")
# Each is a YAML document of this type.
ANNOTATIONS = {
    "category": str,
    "license": str,
    "operator": bool,
    "operatorCapabilities": str,
    "prerelease": bool,
    "containsSecurityUpdates": bool,
    "changes": list,
    "crds": list,
    "crdsExamples": list,
    "images": list,
    "links": list,
    "recommendations": list,
}


def check_release(tree: Tree) -> None:
    """Raises DevError with all faults."""
    notes = checked(tree)
    with scratch_directory(cache_directory() / "builds") as out:
        package_charts(tree, out, notes, dict.fromkeys(IMAGES, NO_DIGEST))
        chart = yaml.safe_load(read_tar_gz(out / f"jobtide-{tree.version}.tgz")["jobtide/Chart.yaml"].content)
    manifest = krew_manifest(tree.version, dict.fromkeys(PLATFORMS, "0" * 64))
    if faults := [*chart_faults(chart), *krew_faults(manifest)]:
        raise DevError(f"no release can be made: {'; '.join(faults)}")


def chart_faults(chart: Mapping[str, Any]) -> Iterator[str]:
    """What Artifact Hub would miss or not understand in a Chart.yaml."""
    yield from (f"Chart.yaml has no {field}" for field in FIELDS if not chart.get(field))
    for name, kind in ANNOTATIONS.items():
        text = chart.get("annotations", {}).get(f"artifacthub.io/{name}", "")
        if not isinstance(yaml.safe_load(text), kind):
            yield f"the annotation artifacthub.io/{name} of Chart.yaml is {text!r}, and not a {kind.__name__}"


def krew_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What krew refuses in a manifest, by the rules of its index."""
    spec = manifest["spec"]
    if not re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", spec["version"]):
        yield f"the version of the krew manifest is {spec['version']}, and not vX.Y.Z"
    if len(spec["shortDescription"]) > 50:  # noqa: PLR2004 - krew's own limit
        yield f"the shortDescription of the krew manifest has {len(spec['shortDescription'])} characters: 50 at most"
    for platform in spec["platforms"]:
        if not platform["uri"].startswith("https://") or not re.fullmatch(r"[0-9a-f]{64}", platform["sha256"]):
            yield f"the krew manifest has a platform without an address or digest: {platform}"
