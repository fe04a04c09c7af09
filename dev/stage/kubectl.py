"""kubectl and helm against one kubeconfig."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.machine.shell import Argument, CommandError, last_lines, run

FIELD_MANAGER = "jobtide-demo"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig; a call returns its output. Raises CommandError if it fails."""

    program: Path
    kubeconfig: Path

    def __call__(self, *arguments: Argument, input_text: str | None = None) -> str:
        return run(self.command(*arguments), input_text=input_text)

    def command(self, *arguments: Argument) -> list[Argument]:
        """Returns the command line, for callers that start it themselves."""
        return [self.program, "--kubeconfig", self.kubeconfig, *arguments]

    def json(self, *arguments: Argument) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def apply(self, *documents: str, namespace: str = "default") -> str:
        """Server-side, so that no annotation repeats the content of a Secret."""
        options: list[Argument] = ["--server-side", "--force-conflicts", "--field-manager", FIELD_MANAGER]
        return self("apply", "--namespace", namespace, *options, "-f", "-", input_text="\n---\n".join(documents))

    def apply_secret(self, namespace: str, name: str, values: Mapping[str, str]) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": dict(values),
        }
        self.apply(json.dumps(secret), namespace=namespace)

    def apply_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}
        self.apply(json.dumps(namespace))

    def output_bytes(self, *arguments: Argument) -> bytes:
        """For output that is not text."""
        command = [str(argument) for argument in self.command(*arguments)]
        completed = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        if completed.returncode != 0:
            reason = last_lines(completed.stderr.decode(errors="replace"))
            raise CommandError(f"`kubectl {' '.join(command[3:6])} ...` ended with {completed.returncode}: {reason}")
        return completed.stdout


@dataclass(frozen=True, slots=True)
class Helm:
    """helm with one kubeconfig; a call returns its output. Raises CommandError if it fails."""

    program: Path
    kubeconfig: Path

    def __call__(self, *arguments: Argument, input_text: str | None = None) -> str:
        return run([self.program, "--kubeconfig", self.kubeconfig, *arguments], input_text=input_text)

    def install(self, release: str, chart: Path, *, namespace: str, values: Mapping[str, Any]) -> None:
        """Installs or upgrades the release, and waits until it is ready."""
        self._clear_interrupted(release, namespace)
        place: list[Argument] = ["--namespace", namespace, "--create-namespace"]
        options: list[Argument] = ["--values", "-", "--wait", "--timeout", "180s"]
        self("upgrade", "--install", release, chart, *place, *options, input_text=json.dumps(values))

    def _clear_interrupted(self, release: str, namespace: str) -> None:
        """Uninstalls a release whose last installation was interrupted: Helm refuses to upgrade it. The CRD stays."""
        place: list[Argument] = ["--namespace", namespace]
        listed = self("list", *place, "--filter", f"^{release}$", "--pending", "--uninstalling", "--short")
        if listed.strip():
            self("uninstall", release, *place, "--wait", "--timeout", "60s")
