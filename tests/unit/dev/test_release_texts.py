"""The parts of a release that are text: notes, Chart.yaml, the manifest for krew, checksums, provenance."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from dev.machine.checkout import VERSION_FILE
from dev.machine.environment import ROOT
from dev.machine.errors import DevError
from dev.release.archive import Entry, read_tar_gz, write_tar_gz
from dev.release.chart import CHART, crd_chart, kept, released
from dev.release.check import NO_DIGEST, chart_faults, krew_faults
from dev.release.digests import CHECKSUMS, PROVENANCE, write_digests
from dev.release.make import checked
from dev.release.notes import Change, notes_of
from dev.release.plugin import PLATFORMS, krew_manifest, pinned
from dev.release.sbom import wheel_components
from dev.release.tree import Tree

CHANGELOG = """\
# Changelog

## [1.2.0]

### Added

- Windows by the clock: `spec.schedules`. See
  [by the clock](docs/operations.md#by-the-clock).
- Pools.

### Security

- **Refuses** hostile rows.

## [1.1.0] - 2026-11-29

### Added

- Nothing yet.

## [1.0.0] - 2026-01-02

### Fixed

- Drains.
"""
CHART_YAML = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text())
DIGESTS = {"controller": f"sha256:{'a' * 64}", "worker": f"sha256:{'b' * 64}"}
NOTES = notes_of(CHANGELOG, "1.2.0")


def test_the_notes_of_a_version_are_its_section():
    assert NOTES.text.startswith("### Added\n\n- Windows")
    assert NOTES.text.endswith("- **Refuses** hostile rows.\n")
    assert NOTES.changes == (
        Change("added", "Windows by the clock: spec.schedules. See by the clock."),
        Change("added", "Pools."),
        Change("security", "Refuses hostile rows."),
    )


@pytest.mark.parametrize(("version", "date"), [("1.2.0", None), ("1.0.0", "2026-01-02")])
def test_a_version_in_work_has_no_date(version, date):
    assert notes_of(CHANGELOG, version).date == date


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        pytest.param("2.0.0", r"no section `## \[2\.0\.0\] - YYYY-MM-DD`", id="missing"),
        pytest.param("1.1.0", r"the section \[1\.1\.0\] of CHANGELOG.md lists no change", id="placeholder"),
        pytest.param("1x2.0", "no section", id="not-a-pattern"),
    ],
)
def test_a_version_without_notes_is_refused(version, fault):
    with pytest.raises(DevError, match=fault):
        notes_of(CHANGELOG, version)


def test_a_heading_that_artifact_hub_does_not_know_is_refused():
    with pytest.raises(DevError, match="`### New` is none of Added, Changed"):
        notes_of("## [1.0.0]\n\n### New\n\n- Pools.\n", "1.0.0")


@pytest.mark.parametrize("key", ["version", "appVersion"])
def test_a_chart_of_another_version_is_refused(tmp_path, key):
    (tmp_path / CHART).mkdir(parents=True)
    (tmp_path / VERSION_FILE).parent.mkdir(parents=True)
    (tmp_path / VERSION_FILE).write_text('__version__ = "1.2.0"\n')
    (tmp_path / CHART / "Chart.yaml").write_text(json.dumps({"version": "1.2.0", "appVersion": "1.2.0", key: "1.1.9"}))

    with pytest.raises(DevError, match=rf"has {key} 1\.1\.9, and {VERSION_FILE} has 1\.2\.0"):
        checked(Tree(tmp_path, "", 0))


def test_a_packaged_chart_names_its_changes_and_its_images_by_digest():
    annotations = released(CHART_YAML, NOTES, DIGESTS)["annotations"]

    assert annotations["jobtide.dev/image-digest"] == DIGESTS["controller"]
    assert yaml.safe_load(annotations["artifacthub.io/images"]) == [
        {"name": "controller", "image": f"ghcr.io/jobtide/controller@{DIGESTS['controller']}"},
        {"name": "worker", "image": f"ghcr.io/jobtide/worker@{DIGESTS['worker']}"},
    ]
    assert yaml.safe_load(annotations["artifacthub.io/changes"])[1] == {"kind": "added", "description": "Pools."}
    assert annotations["artifacthub.io/containsSecurityUpdates"] == "true"
    assert annotations["artifacthub.io/prerelease"] == "false"


@pytest.mark.parametrize("name", ["category", "changes", "crdsExamples", "images", "links", "recommendations"])
@pytest.mark.parametrize("text", ["", "{a: 1}"], ids=["missing", "another-type"])
def test_an_annotation_that_artifact_hub_would_miss_is_named(name, text):
    chart = released(CHART_YAML, NOTES, dict.fromkeys(DIGESTS, NO_DIGEST))
    assert list(chart_faults(chart)) == []
    chart["annotations"][f"artifacthub.io/{name}"] = text

    (fault,) = chart_faults(chart)

    assert fault.startswith(f"the annotation artifacthub.io/{name} of Chart.yaml is ")


def test_a_field_that_artifact_hub_shows_is_named_if_it_is_missing():
    chart = {**released(CHART_YAML, NOTES, DIGESTS), "icon": ""}

    assert list(chart_faults(chart)) == ["Chart.yaml has no icon"]


def test_the_chart_of_the_crd_has_the_version_of_the_chart_and_an_uninstall_keeps_it():
    chart = crd_chart(CHART_YAML)
    crd = kept(yaml.safe_load((ROOT / "crds/jobworkerpools.yaml").read_text()))

    assert (chart["name"], chart["version"]) == ("jobtide-crds", CHART_YAML["version"])
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_krew_gets_an_archive_for_each_platform():
    manifest = krew_manifest("1.2.0", dict.fromkeys(PLATFORMS, "c" * 64))

    assert list(krew_faults(manifest)) == []
    platforms = manifest["spec"]["platforms"]
    assert [platform["selector"]["matchLabels"] for platform in platforms] == [
        {"os": system, "arch": machine} for system in ("linux", "darwin") for machine in ("amd64", "arm64")
    ]
    assert platforms[0]["uri"].endswith("/releases/download/v1.2.0/kubectl-jobtide-1.2.0-linux-amd64.tar.gz")


@pytest.mark.parametrize(
    ("version", "digest", "fault"),
    [
        pytest.param("1.2", "c" * 64, r"the version of the krew manifest is v1\.2, and not vX\.Y\.Z", id="version"),
        pytest.param("1.2.0", "c" * 63, "without an address or digest", id="digest"),
    ],
)
def test_a_manifest_that_krew_refuses_is_named(version, digest, fault):
    (found,) = krew_faults(krew_manifest(version, {("linux", "amd64"): digest}))

    assert fault.replace("\\", "") in found


def test_only_the_named_packages_are_taken_from_the_requirements():
    requirements = "a==1 \\\n    --hash=sha256:00\nab==2 ; extra == 'x' \\\n    --hash=sha256:01\nc[d]==3\n"

    assert pinned(requirements, ["ab"]) == "ab==2 ; extra == 'x' \\\n    --hash=sha256:01\n"
    with pytest.raises(KeyError, match="b"):
        pinned(requirements, ["b"])


def test_the_wheel_requires_the_packages_of_the_worker_alone():
    requirements = {"worker": "psycopg==3.3.9 \\\n  --hash=sha256:0\n", "controller": "kopf==1.45.2\npsycopg==3.3.9\n"}

    found = {str(component.purl): component.scope for component in wheel_components(requirements)}

    assert found == {"pkg:pypi/kopf@1.45.2": "optional", "pkg:pypi/psycopg@3.3.9": None}


def test_archives_have_no_trace_of_the_machine(tmp_path):
    entries = {"b/c": Entry(b"1"), "a": Entry(b"2", executable=True)}
    for name in ("first", "second"):
        write_tar_gz(tmp_path / name, dict(sorted(entries.items(), reverse=name == "second")), 1_700_000_000)

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert read_tar_gz(tmp_path / "first") == entries


def test_checksums_and_provenance_name_every_file(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "wheel").write_text("1")
    (out / "chart").write_text("2")

    write_digests(Tree(ROOT, "c0ffee", 0), out)

    done = subprocess.run(["sha256sum", "--check", CHECKSUMS], cwd=out, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["chart: OK", f"{PROVENANCE}: OK", "wheel: OK"]
    statement = json.loads((out / PROVENANCE).read_text())
    assert [subject["name"] for subject in statement["subject"]] == ["chart", "wheel"]
    (source,) = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": "c0ffee"}
