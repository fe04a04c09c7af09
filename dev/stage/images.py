"""Images for the chosen cluster, tagged by a digest of their inputs: an unchanged tree builds nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dev.cluster.provider import Cluster
from dev.images.engines import Engine, Recipe
from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.progress import step

ROOT = Path(__file__).parents[2]
WHEEL_INPUTS = ("pyproject.toml", "README.md", "LICENSE", "worker", "controller")
APPLICATION_DOCKERFILE = Path(__file__).parent / "application.Dockerfile"
PASSED_ON = ("PIP_INDEX_URL",)  # the mirror of Python packages, if one is set


def ensure_controller_image(cluster: Cluster) -> str:
    """Returns the reference of the controller's image; builds and loads it first if its inputs changed."""
    return _ensure_jobtide_image(cluster, "controller")


def ensure_worker_image(cluster: Cluster) -> str:
    """Returns the reference of the worker's image: the base of an application's, which copies its module into /app."""
    return _ensure_jobtide_image(cluster, "worker")


def ensure_image(
    cluster: Cluster,
    name: str,
    *,
    dockerfile: Path,
    context_paths: Sequence[str | Path],
    context_root: Path = ROOT,
    target: str | None = None,
    build_args: Mapping[str, str] | None = None,
    usual: str = "20 to 60 s",
) -> str:
    """The reference of this image; builds it and loads it into the cluster if that was not done before.

    `context_paths` are files and folders under `context_root`; the Dockerfile sees them under the same
    names. It gets BASE_IMAGE if the engine can't pull the Dockerfile's default.
    """
    engine = cluster.engine
    with exclusive("images"):
        engine.prepare()
        arguments = dict(build_args or {})
        if "ARG BASE_IMAGE" in dockerfile.read_text():
            arguments = {**engine.base_args(), **arguments}
        digest = content_digest(dockerfile, context_root, context_paths, target, arguments)
        reference = f"{cluster.image_prefix}/{name}:{digest}"
        if not engine.has(reference):
            paths = [Path(path) for path in context_paths]
            with step(f"Building image {name}", usual=usual), scratch_directory(_builds()) as context:
                copy_context(context_root, paths, context)
                engine.build(Recipe(reference, dockerfile, context, target, {**_environment_args(), **arguments}))
            engine.forget_old(reference)
        _load(cluster, engine, reference)
    return reference


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


def _ensure_jobtide_image(cluster: Cluster, target: str) -> str:
    return ensure_image(
        cluster,
        f"jobtide-{target}",
        dockerfile=ROOT / "Dockerfile",
        context_paths=[*WHEEL_INPUTS, "requirements/build.txt", f"requirements/{target}.txt"],
        target=target,
    )


def _load(cluster: Cluster, engine: Engine, reference: str) -> None:
    if not cluster.has_image(reference):
        with step(f"Loading {reference} into cluster {cluster.name}", usual="5 s"):
            cluster.load_image(reference, engine)


def _environment_args() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}


def _builds() -> Path:
    return cache_directory() / "builds"


def _ignored(file: Path) -> bool:
    return any(part == "__pycache__" for part in file.parts) or file.suffix == ".pyc"
