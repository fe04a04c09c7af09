"""An existing cluster: Jobtide is installed into it, and nothing else in it is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dev.images.engines import Engine, choose_engine
from dev.machine.cache import cache_directory
from dev.machine.errors import DevError
from dev.machine.private import write_private
from dev.machine.shell import Argument, Runner, run
from dev.tools.toolchain import ensure_tools


@dataclass(frozen=True, slots=True)
class GivenCluster:
    """Named by CONTEXT, or by the current context of KUBECONFIG."""

    context: str | None
    registry: str | None  # REGISTRY: this machine pushes images to it, the cluster pulls from it
    runner: Runner = run
    program: Path | None = None

    @property
    def name(self) -> str:
        return self.context or "of KUBECONFIG"

    @property
    def engine(self) -> Engine:
        return choose_engine(self.runner)

    @property
    def image_prefix(self) -> str:
        """Raises DevError if no registry is set: a given cluster can only pull images."""
        return self._require_registry()

    def ensure(self) -> Path:
        """A copy of the kubeconfig with this context alone: a later change of the current context has no effect."""
        text = self._kubectl("config", "view", "--minify", "--flatten", "--raw")
        kubeconfig = cache_directory() / "given.kubeconfig"
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        write_private(kubeconfig, text)
        self.runner([self._program(), "--kubeconfig", kubeconfig, "get", "--raw", "/readyz"])
        return kubeconfig

    def has_image(self, reference: str) -> bool:
        """Always False: a push sends only the layers that the registry lacks."""
        del reference
        return False

    def load_image(self, reference: str, engine: Engine) -> None:
        self._require_registry()
        engine.push(reference)

    def down(self) -> None:
        """Does nothing: the cluster existed before."""

    def _require_registry(self) -> str:
        if not self.registry:
            raise DevError(
                f"cluster {self.name} takes images from a registry only: "
                "set REGISTRY=... to one that this machine can push to and the cluster can pull from"
            )
        return self.registry

    def _kubectl(self, *arguments: Argument) -> str:
        context = ["--context", self.context] if self.context else []
        return self.runner([self._program(), *context, *arguments])

    def _program(self) -> Path:
        return self.program or ensure_tools("kubectl")["kubectl"]
