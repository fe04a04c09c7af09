"""A real API server for the whole run, with the CRD in it, and a namespace for each test."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.control_plane import ControlPlane, control_plane

CRD = Path(__file__).parents[2] / "crds" / "jobworkerpools.yaml"

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl against one API server, in one namespace."""

    binary: Path
    kubeconfig: Path
    namespace: str = "default"

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Its output; fails the test where kubectl fails."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, manifest: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", "-f", "-", *arguments, stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", kind, name, "-o", "json"))
        return found


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        kubectl = Kubectl(running.kubectl, running.kubeconfig)
        kubectl("apply", "--server-side", "-f", str(CRD))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/jobworkerpools.jobtide.dev")
        yield running


@pytest.fixture(scope="session")
def anywhere(plane: ControlPlane) -> Kubectl:
    """In the namespace `default`, for tests that leave nothing behind."""
    return Kubectl(plane.kubectl, plane.kubeconfig)


@pytest.fixture
def kubectl(anywhere: Kubectl) -> Kubectl:
    """In a namespace of this test's own."""
    name = f"test-{next(_numbers)}"
    anywhere("create", "namespace", name)
    return replace(anywhere, namespace=name)


@pytest.fixture
def pool() -> Callable[..., dict[str, Any]]:
    """The least that a pool needs, with some fields of its spec replaced."""

    def make(name: str = "thumbs", **spec: Any) -> dict[str, Any]:
        template = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
        return {
            "apiVersion": "jobtide.dev/v1alpha1",
            "kind": "JobWorkerPool",
            "metadata": {"name": name},
            "spec": {"types": ["thumbs"], "template": template, **spec},
        }

    return make
