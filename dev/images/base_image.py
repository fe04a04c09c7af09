"""A base image of Debian with Python, made from packages where no image registry can be reached."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.errors import DevError
from dev.machine.progress import step
from dev.machine.shell import Argument, CommandError, Runner, run, succeeds
from dev.machine.system import ensure_packages, require_disk, require_root

RELEASE = "bookworm"
BASE_IMAGE = f"localhost/jobtide-base:{RELEASE}-1"  # increase the number when the lists below change
INCLUDED = ("ca-certificates", "python3", "python3-venv")
UNNEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")


def ensure_base_image(buildah: Sequence[Argument], runner: Runner = run) -> str:
    """The reference of the image; made once. `buildah` is the command with its storage options."""
    if succeeds(runner, [*buildah, "inspect", "--type", "image", BASE_IMAGE]):
        return BASE_IMAGE
    require_root()
    require_disk(cache_directory())
    ensure_packages({"debootstrap": "/usr/sbin/debootstrap", "buildah": "buildah"}, runner)
    with (
        step(f"Making the base image from Debian {RELEASE}", usual="60 to 100 s"),
        scratch_directory(cache_directory() / "images") as scratch,
    ):
        root = scratch / "root"
        _unpack_debian(root, runner)
        for directory in UNNEEDED:
            shutil.rmtree(root / directory, ignore_errors=True)
        _commit(root, buildah, runner)
    return BASE_IMAGE


def debian_mirror(runner: Runner = run) -> str | None:
    """The mirror that apt uses, if this machine is a Debian of this release; None: debootstrap's default."""
    query = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]
    targets = runner(query).splitlines() if succeeds(runner, query) else []
    sites = [target.split()[0] for target in targets if target.split()[1:] == [RELEASE]]
    return sites[0] if sites else None


def _unpack_debian(root: Path, runner: Runner) -> None:
    mirror = debian_mirror(runner)
    packages = f"--include={','.join(INCLUDED)}"
    try:
        runner(["debootstrap", "--variant=minbase", packages, RELEASE, root, *((mirror,) if mirror else ())])
    except CommandError as error:
        where = mirror or "debootstrap's default mirror"
        raise DevError(f"Debian {RELEASE} could not be fetched from {where}; is it reachable? {error}") from error


def _commit(root: Path, buildah: Sequence[Argument], runner: Runner) -> None:
    container = runner([*buildah, "from", "scratch"]).strip()
    try:
        runner([*buildah, "add", "--quiet", container, root, "/"])
        runner([*buildah, "config", "--env", "LANG=C.UTF-8", "--cmd", "python3", container])
        runner([*buildah, "commit", "--quiet", container, BASE_IMAGE])
    finally:
        runner([*buildah, "rm", container])
