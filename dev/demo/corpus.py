"""The files that the workers read, copied out of the application's image, so that results can be computed here."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.progress import step
from dev.stage.kubectl import Kubectl

POD = "corpus"

# Runs where the workers run: packs every source file of its standard library into a tar on standard output.
PACK = """
import pathlib, sys, sysconfig, tarfile
library = pathlib.Path(sysconfig.get_path("stdlib")).resolve()
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as tar:
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if path.is_file() and not path.is_symlink() and name.parts[0] not in ("site-packages", "dist-packages"):
            tar.add(path, str(name))
"""


def read_corpus(kubectl: Kubectl, image: str, namespace: str) -> dict[str, bytes]:
    """File name (relative to the library) -> content. Fetched once for each image."""
    kept = cache_directory() / "demo" / f"corpus-{image.rpartition(':')[2]}.tar.gz"
    if not kept.exists():
        with step("Copying the files that the workers read out of their image", usual="5 s"):
            _fetch(kubectl, image, namespace, kept)
    return unpacked(kept.read_bytes())


def unpacked(packed: bytes) -> dict[str, bytes]:
    """What PACK printed: file name -> content."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = [member for member in tar if member.isreg()]
        return {member.name: _content(tar, member) for member in members}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is regular
    return file.read()


def _fetch(kubectl: Kubectl, image: str, namespace: str, kept: Path) -> None:
    delete = ("delete", "pod", POD, "--namespace", namespace, "--ignore-not-found", "--now")
    kubectl(*delete)  # from an interrupted run
    kubectl.apply(json.dumps(_pod(image)), namespace=namespace)
    try:
        kubectl("wait", f"pod/{POD}", "--namespace", namespace, "--for", "condition=Ready", "--timeout", "60s")
        packed = kubectl.output_bytes("exec", "--namespace", namespace, POD, "--", "python3", "-c", PACK)
    finally:
        kubectl(*delete)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.getmembers()  # raises where the stream was cut
    with scratch_directory(kept.parent) as scratch:
        (scratch / kept.name).write_bytes(packed)
        (scratch / kept.name).rename(kept)


def _pod(image: str) -> dict[str, object]:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {"name": "sleep", "image": image, "command": ["sleep", "300"], "securityContext": restricted}
            ],
        },
    }
