"""A whole release: the same bytes each time, and its parts are usable. It shares the images' layers with the stage."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile

import pytest
import yaml

from dev.machine.environment import ROOT
from dev.release.digests import CHECKSUMS, digests_of
from dev.release.make import make_release
from dev.release.oci_read import read_image
from dev.release.tree import copied
from jobtide import __version__


@pytest.fixture(scope="module")
def release(stage, tmp_path_factory):
    """Of the files as they are, committed or not. After the stage, whose images have most of the layers."""
    out = tmp_path_factory.mktemp("release") / __version__
    with copied(ROOT, must_be_clean=False) as tree:
        make_release(tree, out)
    return out


def test_a_second_release_has_the_same_bytes_its_worker_built_without_cached_layers(release, tmp_path):
    again = tmp_path / "again"
    with copied(ROOT, must_be_clean=False) as tree:
        make_release(tree, again, fresh=["worker"])

    assert digests_of(again) == digests_of(release)


def test_a_release_has_every_file_that_the_page_names(release):
    table = (ROOT / "docs/releases.md").read_text().partition("## Verify")[0]
    names = {
        name for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    }
    expected = {name.replace("0.2.0", __version__) for name in names} - {"*.sigstore.json"}

    assert [name for name in expected if not list(release.glob(name))] == []
    assert subprocess.run(["sha256sum", "--check", "--quiet", CHECKSUMS], cwd=release, check=False).returncode == 0


@pytest.mark.parametrize("image", ["controller", "worker"])
def test_the_chart_runs_the_image_of_the_release_and_its_sbom_has_all_that_is_pinned(release, image):
    read = read_image(release / f"jobtide-{image}-{__version__}.oci.tar", re.compile("etc/passwd"))
    with tarfile.open(release / f"jobtide-{__version__}.tgz") as tar:
        chart = yaml.safe_load(tar.extractfile("jobtide/Chart.yaml"))
    sbom = json.loads((release / f"jobtide-{image}-{__version__}.oci.tar.cdx.json").read_text())
    found = {(part["name"].lower().replace("_", "-"), part["version"]) for part in sbom["components"]}
    # Without those that only some versions of Python or systems need.
    pinned = re.findall(r"^([\w.-]+)==(\S+) \\$", (ROOT / f"requirements/{image}.txt").read_text(), re.MULTILINE)

    assert f"@{read.digest}" in chart["annotations"]["artifacthub.io/images"]
    assert b"jobtide:x:65532" in read.files["etc/passwd"]
    assert {(name.lower().replace("_", "-"), version) for name, version in pinned} <= found
    assert ("jobtide", __version__) in found
    assert any(part["purl"].startswith("pkg:deb/debian/libc6@") for part in sbom["components"])


def test_the_unpacked_plugin_needs_nothing_but_kubectl_and_python(release, stage, tmp_path):
    with tarfile.open(release / f"kubectl-jobtide-{__version__}-linux-amd64.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    environ = {
        "PATH": f"{tmp_path}:{stage.kubectl.program.parent}:/usr/bin:/bin",
        "KUBECONFIG": str(stage.kubectl.kubeconfig),
    }

    done = subprocess.run(
        ["kubectl", "jobtide", "top", "--all-namespaces"], env=environ, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
