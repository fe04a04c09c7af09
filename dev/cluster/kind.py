"""A kind cluster, where a Docker engine answers and can run a privileged container."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from dev.images.engines import Docker, Engine, saved
from dev.machine.cache import cache_directory
from dev.machine.progress import step
from dev.machine.shell import CommandError, Runner, run
from dev.tools.toolchain import KIND_NODE_IMAGE, ensure_tools

CLUSTER_NAME = "jobtide"


@dataclass(frozen=True, slots=True)
class KindCluster:
    """Tests pass `program`; otherwise kind is built from its pinned module when it is first needed."""

    name: str = CLUSTER_NAME
    runner: Runner = run
    program: Path | None = None
    image_prefix: str = "localhost"
    directory: Path = field(default_factory=cache_directory)

    @property
    def engine(self) -> Engine:
        return Docker(self.runner)

    @property
    def kubeconfig(self) -> Path:
        return self.directory / f"kind-{self.name}.kubeconfig"

    def ensure(self) -> Path:
        if self.name not in self._kind("get", "clusters").split():
            with step(f"Creating kind cluster {self.name}", usual="1 to 3 min"):
                self._create()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._kind("export", "kubeconfig", "--name", self.name, "--kubeconfig", str(self.kubeconfig))
        return self.kubeconfig

    def has_image(self, reference: str) -> bool:
        node = f"{self.name}-control-plane"
        images = self.runner(["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "list", "-q"])
        return reference in images.split()

    def load_image(self, reference: str, engine: Engine) -> None:
        with saved(engine, reference) as archive:
            self._kind("load", "image-archive", str(archive), "--name", self.name)

    def down(self) -> None:
        self._kind("delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig))
        self.kubeconfig.unlink(missing_ok=True)

    def _create(self) -> None:
        options = ["--image", KIND_NODE_IMAGE, "--wait", "120s", "--kubeconfig", str(self.kubeconfig)]
        try:
            self._kind("create", "cluster", "--name", self.name, *options)
        except BaseException:
            # When it is interrupted, kind leaves half a cluster under its name, and the next run would use it.
            with contextlib.suppress(CommandError):
                self.down()
            raise

    def _kind(self, *arguments: str) -> str:
        program = self.program or ensure_tools("kind")["kind"]
        return self.runner([program, *arguments])


def why_not_kind(runner: Runner = run) -> str | None:
    """None if kind can run, otherwise the reason.

    It starts a privileged container, because an engine that runs plain ones may refuse it.
    """
    try:
        runner(["docker", "version", "--format", "{{.Server.Version}}"])
    except CommandError:
        return "no Docker engine answers"
    try:
        runner(["docker", "run", "--rm", "--privileged", "--entrypoint", "true", KIND_NODE_IMAGE])
    except CommandError as error:
        return f"the Docker engine can't run a privileged container of {KIND_NODE_IMAGE}: {error}"
    return None
