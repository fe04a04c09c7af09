"""Renders the chart with Helm 4 and 3, each set of values once a session."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.tools.toolchain import ensure_tools

CHART = Path(__file__).parents[3] / "charts" / "jobtide"
VALUES = Path(__file__).parent / "values"
RELEASE, NAMESPACE = "tide", "queue"
KUBERNETES = "1.37.2"
PROMETHEUS_OPERATOR = ("v1", "v1/ServiceMonitor", "v1/PodMonitor", "v1/PrometheusRule")

# `helm template` does not render NOTES.txt; this template, added to a copy of the chart, does.
NOTES_PROBE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes-probe}
data: {notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}}
"""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The manifests, notes and hooks of a release; the hooks are those of `helm test`."""

    manifests: tuple[dict[str, Any], ...]
    hooks: tuple[dict[str, Any], ...]
    notes: str
    text: str

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        return [manifest for manifest in self.manifests if manifest["kind"] in kinds]

    def one(self, kind: str) -> dict[str, Any]:
        (manifest,) = self.of_kind(kind)
        return manifest

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.one("Deployment")["spec"]["template"]["spec"]["containers"]
        return container

    @property
    def environment(self) -> dict[str, Any]:
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.container["env"]}


class Helm:
    """One Helm binary with one copy of the chart."""

    def __init__(self, binary: Path, chart: Path) -> None:
        self._binary = binary
        self._chart = chart
        self._renderings: dict[tuple[str, ...], Rendering] = {}

    def render(self, values: Mapping[str, Any] | str, *, prometheus: bool = True) -> Rendering:
        arguments = _arguments(values, prometheus=prometheus)
        if arguments not in self._renderings:
            done = self._template(arguments)
            assert done.returncode == 0, done.stderr
            self._renderings[arguments] = _parse(done.stdout)
        return self._renderings[arguments]

    def annotated(self, folder: Path, annotations: Mapping[str, str]) -> Helm:
        """The same with a copy of the chart that has these annotations too."""
        chart = folder / "jobtide"
        shutil.copytree(self._chart, chart)
        metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
        metadata["annotations"] |= annotations
        (chart / "Chart.yaml").write_text(yaml.safe_dump(metadata))
        return Helm(self._binary, chart)

    def refusal(self, values: Mapping[str, Any], *, kubernetes: str = KUBERNETES) -> str:
        """The error of Helm for values, or a version of Kubernetes, that it must not accept."""
        done = self._template((*_arguments(values, prometheus=True), f"--kube-version={kubernetes}"))
        assert done.returncode != 0, "the chart accepted these values"
        return done.stderr

    def lint(self, values: str) -> subprocess.CompletedProcess[str]:
        return self._run("lint", "--strict", str(CHART), "--values", str(VALUES / f"{values}.yaml"))

    def _template(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return self._run("template", RELEASE, str(self._chart), "--namespace", NAMESPACE, *arguments)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self._chart.parent)}  # without the plugins, repositories and clusters of the user
        return subprocess.run([self._binary, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def helms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Helm]:
    """Helm 4 and 3 by the names of their programs."""
    chart = tmp_path_factory.mktemp("chart") / "jobtide"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "notes-probe.yaml").write_text(NOTES_PROBE)
    return {name: Helm(binary, chart) for name, binary in ensure_tools("helm", "helm3").items()}


@pytest.fixture
def helm(helms: Mapping[str, Helm]) -> Helm:
    """Helm 4; another test checks that Helm 3 renders the same."""
    return helms["helm"]


@pytest.fixture(params=["helm", "helm3"])
def each_helm(helms: Mapping[str, Helm], request: pytest.FixtureRequest) -> Helm:
    return helms[request.param]


@pytest.fixture(params=sorted(path.stem for path in VALUES.glob("*.yaml")))
def values_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def rendering(helm: Helm, values_name: str) -> Rendering:
    """The chart with each of the sets in values/."""
    return helm.render(values_name)


@pytest.fixture
def key_paths() -> Callable[[Mapping[str, Any]], set[str]]:
    """`image.tag` and the like; an empty map counts as a value."""
    return lambda values: set(_key_paths(values))


def _key_paths(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _key_paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _arguments(values: Mapping[str, Any] | str, *, prometheus: bool) -> tuple[str, ...]:
    """The values, as keys or as the name of a file in values/, and the capabilities of the cluster."""
    if isinstance(values, str):
        chosen = [f"--values={VALUES / values}.yaml"]
    else:
        chosen = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    operator = [f"--api-versions=monitoring.coreos.com/{version}" for version in PROMETHEUS_OPERATOR if prometheus]
    return (f"--kube-version={KUBERNETES}", *chosen, *operator)


def _parse(text: str) -> Rendering:
    manifests = [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]
    (probe,) = (manifest for manifest in manifests if manifest["metadata"]["name"] == "notes-probe")
    manifests.remove(probe)
    hooks = tuple(manifest for manifest in manifests if "helm.sh/hook" in manifest["metadata"].get("annotations", {}))
    return Rendering(tuple(one for one in manifests if one not in hooks), hooks, probe["data"]["notes"], text)
