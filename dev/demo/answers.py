"""The result that each job must have, computed here without code of the workers or of the handlers."""

from __future__ import annotations

import bz2
import hashlib
import re
import tarfile
from collections.abc import Mapping
from typing import Any

from dev.demo.workload import ARCHIVE, INDEX, DemoJob

_WORD = re.compile(rb"\S+")
_LINE_END = re.compile(rb"\n")


class Answers:
    """Computes the result of each different payload once."""

    def __init__(self, corpus: Mapping[str, bytes]) -> None:
        self._corpus = corpus
        self._known: dict[object, Any] = {}

    def of(self, job: DemoJob) -> Any:
        """The result that a completed job must have stored."""
        question = (job.type, *(job.payload["files"] if job.type == ARCHIVE else [job.payload["document"]]))
        if question not in self._known:
            self._known[question] = _compute(job, self._corpus)
        return self._known[question]


def _compute(job: DemoJob, corpus: Mapping[str, bytes]) -> Any:
    if job.type == INDEX:
        return _index(job.payload["document"], corpus)
    return _archive(job.payload["files"], corpus)


def _index(name: str, corpus: Mapping[str, bytes]) -> Any:
    content = corpus[name]
    return {
        "document": name,
        "bytes": len(content),
        "lines": len(_LINE_END.findall(content)),
        "words": len(_WORD.findall(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _archive(names: list[str], corpus: Mapping[str, bytes]) -> Any:
    unpacked = b"".join(_member(name, corpus[name]) for name in sorted(set(names)))
    # An archive ends with two empty blocks, and is filled up to a whole record.
    unpacked = _padded(unpacked + bytes(2 * tarfile.BLOCKSIZE), tarfile.RECORDSIZE)
    packed = bz2.compress(unpacked)
    return {
        "files": len(set(names)),
        "bytes": len(packed),
        "unpacked_sha256": hashlib.sha256(unpacked).hexdigest(),
        "sha256": hashlib.sha256(packed).hexdigest(),
    }


def _member(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf(tarfile.USTAR_FORMAT) + _padded(content, tarfile.BLOCKSIZE)


def _padded(content: bytes, size: int) -> bytes:
    return content + bytes(-len(content) % size)
