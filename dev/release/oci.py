"""An image as an OCI archive whose bytes depend on its content alone, from the archive that an engine saves.

Engines write the time of the build into files, history and configuration. Here all files of the Dockerfile's own layers
have the commit's time, since a layer from the cache may be older than the commit. A layer of the base is changed only
if it has a later time: a published base keeps its digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dev.machine.errors import DevError
from dev.release.archive import LEVEL, Entry, write_tar

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG_KEYS = ("architecture", "os", "variant", "config")  # the others say how and when it was built
_DIGEST_OF_FILES = re.compile(r"\b(file|dir|multi):[0-9a-f]{64}\b")  # they include times
_GZIP = b"\x1f\x8b"
_TIMES = ("mtime", "atime", "ctime")
_FIRST_STEP = "jobtide:x:65532"  # of the Dockerfile that makes a layer: those before it are the base's

Descriptor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """What the archive says of itself. `name` is the reference under which a cluster or an engine loads it."""

    name: str
    epoch: int
    labels: Mapping[str, str]


@dataclass(slots=True)
class Layers:
    """Layers of one release with its epoch; images share their base, which is compressed once."""

    epoch: int
    done: dict[tuple[str, bool], tuple[str, bytes]] = field(default_factory=dict)

    def layer(self, saved: bytes, *, is_own: bool) -> tuple[str, bytes]:
        """The digest of the layer, and the layer compressed. Some engines save it compressed already."""
        before = hashlib.sha256(saved).hexdigest(), is_own
        if before not in self.done:
            content = gzip.decompress(saved) if saved.startswith(_GZIP) else saved
            content = _with_times(content, self.epoch, is_own=is_own)
            self.done[before] = hashlib.sha256(content).hexdigest(), gzip.compress(content, LEVEL, mtime=0)
        return self.done[before]


def write_oci_archive(saved: Path, archive: Path, image: Image, layers: Layers) -> str:
    """Returns the digest of the image: that of its index, which a registry keeps."""
    blobs: dict[str, Entry] = {}
    with tarfile.open(saved) as tar:
        (listed,) = json.loads(_member(tar, "manifest.json"))
        configuration = json.loads(_member(tar, listed["Config"]))
        base = len(listed["Layers"]) - _count_own(configuration["history"])
        made = [layers.layer(_member(tar, name), is_own=n >= base) for n, name in enumerate(listed["Layers"])]
    digests = [f"sha256:{digest}" for digest, _ in made]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(blobs, _json(_configuration(configuration, image, digests)), _CONFIG),
        "layers": [_blob(blobs, content, _LAYER) for _, content in made],
    }
    platform = {key: configuration[key] for key in ("architecture", "os", "variant") if configuration.get(key)}
    entry = {**_blob(blobs, _json(manifest), _MANIFEST), "platform": platform}
    index = _blob(blobs, _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}), _INDEX)
    tag = image.name.rpartition(":")[2]
    names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag}
    top = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [{**index, "annotations": names}]}
    layout = {"index.json": Entry(_json(top)), "oci-layout": Entry(_json({"imageLayoutVersion": "1.0.0"}))}
    write_tar(archive, {**blobs, **layout}, image.epoch)
    return str(index["digest"])


def _count_own(history: Sequence[Mapping[str, Any]]) -> int:
    """Counted from the end, since some engines call a step of the base that changes no file a layer."""
    steps = [entry.get("created_by", "") for entry in history if not entry.get("empty_layer")]
    first = next((n for n, step in enumerate(steps) if _FIRST_STEP in step), None)
    if first is None:
        raise DevError(f"the image's history has no step with {_FIRST_STEP!r}, the Dockerfile's first one")
    return len(steps) - first


def _with_times(layer: bytes, epoch: int, *, is_own: bool) -> bytes:
    """The layer: in an own one every file has the epoch, in the base none is later."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as before:
        if not is_own and all(member.mtime <= epoch for member in before):
            return layer
        result = io.BytesIO()
        with tarfile.open(fileobj=result, mode="w", format=tarfile.PAX_FORMAT) as after:
            for member in before:
                content = before.extractfile(member) if member.isreg() else None
                if content is not None and member.name.endswith(".pyc"):
                    content = io.BytesIO(_pyc(content.read(), epoch, is_own=is_own))
                member.mtime = epoch if is_own else min(int(member.mtime), epoch)
                member.pax_headers = {key: value for key, value in member.pax_headers.items() if key not in _TIMES}
                after.addfile(member, content)
    return result.getvalue()


def _pyc(content: bytes, epoch: int, *, is_own: bool) -> bytes:
    """A compiled file names the time of its source: Python would compile again what has another one."""
    _, flags, source_time = struct.unpack_from("<III", content)
    is_changed = flags == 0 and (is_own or source_time > epoch)
    return content[:8] + struct.pack("<I", epoch) + content[12:] if is_changed else content


def _configuration(before: Mapping[str, Any], image: Image, layers: list[str]) -> dict[str, Any]:
    created = datetime.fromtimestamp(image.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = {key: before[key] for key in _CONFIG_KEYS if before.get(key)}
    kept["config"] = {**kept["config"], "Labels": dict(image.labels)}
    history = [{**_step(entry), "created": created} for entry in before.get("history", ())]
    return {**kept, "created": created, "rootfs": {"type": "layers", "diff_ids": layers}, "history": history}


def _step(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _DIGEST_OF_FILES.sub(r"\1", value) if isinstance(value, str) else value
        for key, value in entry.items()
        if key in {"created_by", "empty_layer"}
    }


def _blob(blobs: dict[str, Entry], content: bytes, media_type: str) -> Descriptor:
    digest = hashlib.sha256(content).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = Entry(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)  # follows links: one layer may be listed twice
    assert file is not None, f"the engine's archive has no file {name}"
    return file.read()
