"""Both images as OCI archives."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from dev.images.engines import Engine, choose_engine, saved
from dev.images.published import HOME, IMAGES, image_name
from dev.machine.cache import exclusive
from dev.machine.progress import step
from dev.release.oci import Image, Layers, write_oci_archive
from dev.release.tree import Tree
from dev.stage.images import build_image, jobtide_source


def build_images(tree: Tree, out: Path, fresh: Collection[str] = ()) -> dict[str, str]:
    """Writes jobtide-<image>-<version>.oci.tar of each; returns the digests. `fresh`: these without cached layers."""
    engine, layers = choose_engine(), Layers(tree.epoch)
    with exclusive("images"):
        engine.prepare()
        digests = {}
        for target in IMAGES:
            labels = {
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.revision": tree.commit,
                "org.opencontainers.image.source": HOME,
                "org.opencontainers.image.title": f"Jobtide {target}",
                "org.opencontainers.image.version": tree.version,
            }
            image = Image(f"{image_name(target)}:{tree.version}", tree.epoch, labels)
            with (
                _built(engine, tree, target, fresh=target in fresh) as reference,
                step(f"Writing the image {target} as an OCI archive", usual="10 s"),
                saved(engine, reference) as archive,
            ):
                digests[target] = write_oci_archive(archive, out / archive_name(target, tree.version), image, layers)
    return digests


def archive_name(target: str, version: str) -> str:
    """The file of an image."""
    return f"jobtide-{target}-{version}.oci.tar"


@contextlib.contextmanager
def _built(engine: Engine, tree: Tree, target: str, *, fresh: bool) -> Iterator[str]:
    """A fresh image is removed at the end: it is there to be compared."""
    reference = build_image(engine, "localhost", jobtide_source(target, tree.root), fresh=fresh)
    try:
        yield reference
    finally:
        if fresh:
            engine.remove(reference)
