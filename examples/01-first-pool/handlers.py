"""Two job types over real files: the sources of Python's standard library, which every Python image contains."""

from __future__ import annotations

import bz2
import hashlib
import io
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

from jobtide import Context, Fail, Snooze, Tide

tide = Tide()

LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


@tide.job("doc.index")
def index(payload: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds: `{"document": "json/decoder.py"}` -> its size, lines, words and hash."""
    name = payload.get("document")
    content = library_file(name).read_bytes()
    return {
        "document": name,
        "bytes": len(content),
        "lines": content.count(b"\n"),
        "words": len(content.split()),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@tide.job("archive.compress")
def compress(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Seconds of CPU: `{"files": ["abc.py", ...]}` -> size and hash of their .tar.bz2, the same on every run."""
    names = payload.get("files")
    if not isinstance(names, list) or not names:
        raise Fail(f'"files" is {names!r}; expected a list of file names, such as ["json/decoder.py"]')
    files = {str(name): library_file(name) for name in names}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:bz2", format=tarfile.USTAR_FORMAT, compresslevel=9) as tar:
        for done, (name, path) in enumerate(sorted(files.items())):
            if ctx.cancelled:
                raise Snooze(0)  # this worker stops or lost its lease: the next worker runs the job from the start
            add_to(tar, name, path.read_bytes())
            ctx.progress(done / len(files), name)
    compressed = archive.getvalue()
    return {
        "files": len(files),
        "bytes": len(compressed),
        "unpacked_sha256": hashlib.sha256(bz2.decompress(compressed)).hexdigest(),
        "sha256": hashlib.sha256(compressed).hexdigest(),
    }


def library_file(name: object) -> Path:
    """The file of this name under LIBRARY. Raises Fail for a wrong name: a retry would not help."""
    if not isinstance(name, str) or not name:
        raise Fail(f"file name {name!r}: expected text, such as json/decoder.py")
    path = (LIBRARY / name).resolve()
    if not path.is_relative_to(LIBRARY):
        raise Fail(f"file name {name!r} leads out of the library; name a file inside, such as json/decoder.py")
    if not path.is_file():
        raise Fail(f"there is no file {name!r} in the library; name an existing file, such as json/decoder.py")
    return path


def add_to(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds only name and content: owner, mode and time would differ between two machines."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
