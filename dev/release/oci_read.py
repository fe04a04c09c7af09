"""Reads an image back from its OCI archive: what is published is what is described."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ReadImage:
    """`files` are those that were asked for, by their path; `config` is that of the image."""

    digest: str
    config: dict[str, Any]
    files: dict[str, bytes]

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["config"].get("Env", ()))


def read_image(archive: Path, wanted: re.Pattern[str]) -> ReadImage:
    """Files of a later layer replace those of an earlier one. `wanted` matches whole paths without the first slash."""
    with tarfile.open(archive) as tar:
        (top,) = _json(tar, "index.json")["manifests"]
        (entry,) = _json(tar, _path(top))["manifests"]
        manifest = _json(tar, _path(entry))
        files: dict[str, bytes] = {}
        for layer in manifest["layers"]:
            files |= _files(_bytes(tar, _path(layer)), wanted)
        return ReadImage(top["digest"], _json(tar, _path(manifest["config"])), files)


def _files(layer: bytes, wanted: re.Pattern[str]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
        return {
            member.name: _bytes(tar, member)
            for member in tar
            if member.isreg() and wanted.fullmatch(member.name.removeprefix("./"))
        }


def _path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _json(tar: tarfile.TarFile, name: str) -> Any:
    return json.loads(_bytes(tar, name))


def _bytes(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, member
    return file.read()
