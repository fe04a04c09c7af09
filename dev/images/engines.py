"""The two programs that build images: Docker where its engine answers, otherwise buildah, which needs root alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dev.images.base_image import ensure_base_image
from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.shell import Argument, Runner, run, succeeds
from dev.machine.system import ensure_packages

# The certificates that a Debian machine trusts, also those of a proxy that inspects TLS.
CERTIFICATE_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

KEPT_VERSIONS = 3  # another run may still use the previous one


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is built from. `context` holds only the Dockerfile's inputs."""

    reference: str
    dockerfile: Path
    context: Path
    target: str | None
    build_args: Mapping[str, str]
    fresh: bool = False  # run every step, also where a layer of an earlier build fits

    def options(self) -> list[Argument]:
        options: list[Argument] = ["--tag", self.reference, "--file", self.dockerfile]
        if self.target is not None:
            options += ["--target", self.target]
        for name, value in self.build_args.items():
            options += ["--build-arg", f"{name}={value}"]
        if self.fresh:
            options += ["--no-cache"]
        if CERTIFICATE_BUNDLE.exists():
            options += ["--secret", f"id=ca,src={CERTIFICATE_BUNDLE}"]
        return options


class Engine(Protocol):
    """Builds images, keeps them, and passes them on as an archive or to a registry."""

    @property
    def name(self) -> str: ...
    def prepare(self) -> None: ...
    def has(self, reference: str) -> bool: ...
    def base_args(self) -> dict[str, str]: ...
    def build(self, recipe: Recipe) -> None: ...
    def save(self, reference: str, archive: Path) -> None: ...
    def push(self, reference: str) -> None: ...
    def forget_old(self, reference: str) -> None: ...
    def remove(self, reference: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Docker:
    """A Docker engine that answers."""

    runner: Runner = run
    name: str = "docker"

    def prepare(self) -> None:
        """Nothing to do: this engine is chosen only where Docker answers."""

    def has(self, reference: str) -> bool:
        return succeeds(self.runner, ["docker", "image", "inspect", reference])

    def base_args(self) -> dict[str, str]:
        return {}

    def build(self, recipe: Recipe) -> None:
        environ = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        self.runner(["docker", "build", *recipe.options(), recipe.context], environ=environ)

    def save(self, reference: str, archive: Path) -> None:
        self.runner(["docker", "save", "--output", archive, reference])

    def push(self, reference: str) -> None:
        self.runner(["docker", "push", reference])

    def forget_old(self, reference: str) -> None:
        name = reference.rpartition(":")[0]
        listed = self.runner(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name])
        for old in older(listed.split(), reference):
            self.remove(old)

    def remove(self, reference: str) -> None:
        succeeds(self.runner, ["docker", "image", "rm", reference])


@dataclass(frozen=True, slots=True)
class Buildah:
    """Builds without an engine. Its storage is in the cache; debootstrap makes its base image."""

    runner: Runner = run
    name: str = "buildah"

    def prepare(self) -> None:
        ensure_packages({"buildah": "buildah", "ca-certificates": str(CERTIFICATE_BUNDLE)}, self.runner)

    def has(self, reference: str) -> bool:
        return succeeds(self.runner, self._buildah("inspect", "--type", "image", reference))

    def base_args(self) -> dict[str, str]:
        """A base image of our own: a machine without Docker may not reach the registry of the Dockerfile's default."""
        return {"BASE_IMAGE": ensure_base_image(self._buildah(), self.runner)}

    def build(self, recipe: Recipe) -> None:
        self.runner(self._buildah("rm", "--all"))  # containers that an interrupted build left mounted
        isolation: list[Argument] = ["--isolation", "chroot", "--network", "host", "--pull-never", "--layers"]
        self.runner(self._buildah("build", *isolation, *recipe.options(), recipe.context))

    def save(self, reference: str, archive: Path) -> None:
        self.runner(self._buildah("push", reference, f"docker-archive:{archive}:{reference}"))

    def push(self, reference: str) -> None:
        self.runner(self._buildah("push", reference))

    def forget_old(self, reference: str) -> None:
        listed = self.runner(self._buildah("images", "--format", "{{.Name}}:{{.Tag}}"))
        for old in older(listed.split(), reference):
            self.remove(old)

    def remove(self, reference: str) -> None:
        succeeds(self.runner, self._buildah("rmi", reference))

    def _buildah(self, *arguments: Argument) -> list[Argument]:
        storage = cache_directory() / "images"
        places: list[Argument] = ["--root", storage / "storage", "--runroot", storage / "run"]
        # Without skip_mount_home each call leaves a bind mount on the storage.
        driver = ["--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true"]
        return ["buildah", *places, *driver, *arguments]


def older(listed: Sequence[str], reference: str) -> list[str]:
    """The versions of one image to delete: all but the newest few. `listed` is newest first, as engines list them."""
    name = reference.rpartition(":")[0]
    versions = [entry for entry in listed if entry.rpartition(":")[0] == name and entry != reference]
    return versions[KEPT_VERSIONS - 1 :]


def choose_engine(runner: Runner = run) -> Engine:
    """Returns Docker if its engine answers, else Buildah; does not prepare it."""
    return Docker(runner) if docker_answers(runner) else Buildah(runner)


def docker_answers(runner: Runner = run) -> bool:
    """True if the docker command reaches an engine; the command alone does not count."""
    return succeeds(runner, ["docker", "version", "--format", "{{.Server.Version}}"])


@contextlib.contextmanager
def saved(engine: Engine, reference: str) -> Iterator[Path]:
    """The image as an archive on disk, removed at the end of the block."""
    with scratch_directory(cache_directory() / "images") as scratch:
        archive = scratch / "image.tar"
        engine.save(reference, archive)
        yield archive
