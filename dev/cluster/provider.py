"""What any cluster offers to tests and to the demo, regardless of how it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dev.images.engines import Engine


class Cluster(Protocol):
    """A Kubernetes cluster that exists or that `ensure` can make."""

    @property
    def name(self) -> str: ...

    @property
    def engine(self) -> Engine:
        """What builds images for it."""

    @property
    def image_prefix(self) -> str:
        """The part of an image's reference before its name: a registry, or localhost where there is none."""

    def ensure(self) -> Path:
        """A kubeconfig whose current context is this cluster; returns when it is ready, at once if it runs already."""

    def has_image(self, reference: str) -> bool:
        """True if its nodes can start the image without `load_image`."""

    def load_image(self, reference: str, engine: Engine) -> None: ...

    def down(self) -> None:
        """Removes what `ensure` made, and nothing that existed before."""
