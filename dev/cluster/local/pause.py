"""The image that holds a pod's namespaces, made from Debian's static busybox without a registry."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.errors import DevError
from dev.machine.progress import step
from dev.machine.shell import CommandError, Runner, run
from dev.machine.system import APT

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PACKAGE = "busybox-static"
DOWNLOAD = f'cd "$1" && apt-get update -qq && apt-get download -qq {PACKAGE} && dpkg-deb --extract *.deb .'


def ensure_busybox(runner: Runner = run) -> Path:
    """Unpacks busybox into the cache. It is not installed: the package would replace the machine's busybox."""
    busybox = cache_directory() / "tools" / PACKAGE / "busybox"
    if busybox.exists():
        return busybox
    with (
        step(f"Fetching {PACKAGE}", usual="5 to 20 s"),
        scratch_directory(busybox.parent) as scratch,
        exclusive(APT),
    ):
        scratch.chmod(0o755)  # apt downloads as its own user
        try:
            runner(["sh", "-c", DOWNLOAD, "sh", scratch])
        except CommandError as error:
            raise DevError(f"{PACKAGE} could not be fetched; is the package mirror reachable? {error}") from error
        (scratch / "bin" / "busybox").rename(busybox)
    return busybox


def write_pause_image(archive: Path, name: str, busybox: Path) -> None:
    """Writes an archive as `docker save` writes it: one layer with one program, which sleeps until it is killed."""
    layer = _tar({"bin/busybox": busybox.read_bytes()})
    configuration = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox", "sleep", "infinity"], "User": "65534:65534"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "layer.tar": layer,
        "config.json": json.dumps(configuration).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive.write_bytes(_tar(files))


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
