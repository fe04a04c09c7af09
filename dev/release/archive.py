"""Archives whose bytes depend on nothing but their content: no owner, no order of a file system, one time for all."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEVEL = 6  # of gzip: what a level more saves is below 1 %


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive."""

    content: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


def write_tar(archive: Path, entries: Mapping[str, Entry], epoch: int) -> None:
    """Writes the files in the order of their names."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, entries, epoch)


def write_tar_gz(archive: Path, entries: Mapping[str, Entry], epoch: int) -> None:
    """The same, compressed; without a name and a time in the header of gzip."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, entries, epoch)


def read_tar_gz(archive: Path) -> dict[str, Entry]:
    """The regular files of an archive."""
    with tarfile.open(archive, "r:gz") as tar:
        members = [member for member in tar if member.isfile()]
        return {member.name: Entry(_content(tar, member), bool(member.mode & 0o100)) for member in members}


def read_folder(folder: Path) -> dict[str, Entry]:
    """All files below a folder, by their path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): Entry(path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in files
    }


def _add(tar: tarfile.TarFile, entries: Mapping[str, Entry], epoch: int) -> None:
    for name, entry in sorted(entries.items()):
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(entry.content), entry.mode, epoch
        tar.addfile(member, io.BytesIO(entry.content))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()
