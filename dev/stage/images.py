"""Images for the chosen cluster, tagged by a digest of their inputs: an unchanged tree builds nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dev.cluster.provider import Cluster
from dev.images.engines import Engine, Recipe
from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.progress import step

ROOT = Path(__file__).parents[2]
WHEEL_INPUTS = ("pyproject.toml", "README.md", "LICENSE", "worker", "controller")
APPLICATION_DOCKERFILE = Path(__file__).parent / "application.Dockerfile"
PASSED_ON = ("PIP_INDEX_URL",)  # the mirror of Python packages, if one is set


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What an image is made of. `context_paths` are files and folders under `context_root`; the Dockerfile sees them
    under the same names. It gets BASE_IMAGE if the engine can't pull the Dockerfile's default."""

    name: str
    dockerfile: Path
    context_root: Path
    context_paths: Sequence[str | Path]
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    usual: str = "20 to 60 s"


def jobtide_source(target: str, root: Path = ROOT) -> ImageSource:
    """The image `controller` or `worker` of the tree in `root`."""
    paths = [*WHEEL_INPUTS, "requirements/build.txt", f"requirements/{target}.txt"]
    return ImageSource(f"jobtide-{target}", root / "Dockerfile", root, paths, target)


def ensure_controller_image(cluster: Cluster) -> str:
    """Returns the reference of the controller's image; builds and loads it first if its inputs changed."""
    return _ensure(cluster, jobtide_source("controller"))


def ensure_worker_image(cluster: Cluster) -> str:
    """Returns the reference of the worker's image: the base of an application's, which copies its module into /app."""
    return _ensure(cluster, jobtide_source("worker"))


def ensure_images_before(cluster: Cluster, tree: Path) -> tuple[str, str]:
    """The controller's and the worker's image of the release before this one, whose files are in `tree`.

    Under names of their own, so that new builds of this release do not remove them as old. The worker's is not loaded:
    it is the base of an application's.
    """
    controller, worker = (
        replace(source, name=f"{source.name}-before")
        for source in (jobtide_source(target, tree) for target in ("controller", "worker"))
    )
    reference = _ensure(cluster, controller)
    with exclusive("images"):
        return reference, build_image(cluster.engine, cluster.image_prefix, worker)


def ensure_image(
    cluster: Cluster,
    name: str,
    *,
    dockerfile: Path,
    context_paths: Sequence[str | Path],
    context_root: Path = ROOT,
    build_args: Mapping[str, str] | None = None,
    usual: str = "20 to 60 s",
) -> str:
    """The reference of this image; builds it and loads it into the cluster if that was not done before."""
    source = ImageSource(name, dockerfile, context_root, context_paths, build_args=build_args or {}, usual=usual)
    return _ensure(cluster, source)


def ensure_application_image(
    cluster: Cluster, name: str, folder: Path, worker_image: str, *, dockerfile: Path = APPLICATION_DOCKERFILE
) -> str:
    """The worker image with `handlers.py` of this folder."""
    return ensure_image(
        cluster,
        name,
        dockerfile=dockerfile,
        context_root=folder,
        context_paths=["handlers.py"],
        build_args={"WORKER_IMAGE": worker_image},
        usual="5 s",
    )


def content_digest(
    dockerfile: Path,
    context_root: Path,
    context_paths: Sequence[str | Path],
    target: str | None,
    build_args: Mapping[str, str],
) -> str:
    """Twelve hexadecimal digits over all inputs of the image."""
    digest = hashlib.sha256(dockerfile.read_bytes())
    digest.update(repr((target, sorted(build_args.items()))).encode())
    for file in sorted(context_files(context_root, context_paths)):
        executable = bool(file.stat().st_mode & 0o100)
        digest.update(f"\0{file.relative_to(context_root)}\0{executable}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def context_files(context_root: Path, context_paths: Sequence[str | Path]) -> Iterator[Path]:
    """Returns the files under these paths, without Python's caches. Raises FileNotFoundError for a missing path."""
    for path in context_paths:
        chosen = context_root / path
        if chosen.is_file():
            yield chosen
        elif chosen.is_dir():
            yield from (file for file in chosen.rglob("*") if file.is_file() and not _ignored(file))
        else:
            raise FileNotFoundError(f"{chosen} is to be copied into an image and does not exist")


def copy_context(context_root: Path, context_paths: Sequence[Path], context: Path) -> None:
    """Copies these files to the same places under `context`, with their modes and times."""
    for file in context_files(context_root, context_paths):
        destination = context / file.relative_to(context_root)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, destination)


def build_image(engine: Engine, prefix: str, source: ImageSource, *, fresh: bool = False) -> str:
    """The reference of this image; builds it if that was not done before, or `fresh`: without any cached layer.

    The caller holds the lock `images`, and has prepared the engine.
    """
    arguments = dict(source.build_args)
    if "ARG BASE_IMAGE" in source.dockerfile.read_text():
        arguments = {**engine.base_args(), **arguments}
    root, paths = source.context_root, source.context_paths
    digest = content_digest(source.dockerfile, root, paths, source.target, arguments)
    reference = f"{prefix}/{source.name}:{digest}{'-fresh' if fresh else ''}"
    if fresh or not engine.has(reference):
        with (
            step(f"Building image {source.name}", usual=source.usual),
            scratch_directory(cache_directory() / "builds") as context,
        ):
            copy_context(root, [Path(path) for path in paths], context)
            arguments = {**_environment_args(), **arguments}
            engine.build(Recipe(reference, source.dockerfile, context, source.target, arguments, fresh=fresh))
        engine.forget_old(reference)
    return reference


def _ensure(cluster: Cluster, source: ImageSource) -> str:
    with exclusive("images"):
        cluster.engine.prepare()
        reference = build_image(cluster.engine, cluster.image_prefix, source)
        _load(cluster, cluster.engine, reference)
    return reference


def _load(cluster: Cluster, engine: Engine, reference: str) -> None:
    if not cluster.has_image(reference):
        with step(f"Loading {reference} into cluster {cluster.name}", usual="5 s"):
            cluster.load_image(reference, engine)


def _environment_args() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}


def _ignored(file: Path) -> bool:
    return any(part == "__pycache__" for part in file.parts) or file.suffix == ".pyc"
