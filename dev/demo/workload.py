"""The demo's jobs: real work for many tenants, most of it from one tenant, and a few malformed payloads."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dev.stage.job_table import NewJob

INDEX, ARCHIVE = "doc.index", "archive.compress"

LOUD_SHARE = 0.9  # of all jobs, from the first tenant
ARCHIVE_SHARE = 0.01
ARCHIVE_BYTES = 8_000_000  # before compression, of 11 MB in the library: one to two seconds of CPU
DIFFERENT_ARCHIVES = 4  # the demo computes each of them itself


@dataclass(frozen=True, slots=True)
class Malformed:
    """A payload that no handler accepts, and the text that the failed row must contain."""

    type: str
    payload: Any
    error: str


MALFORMED = (
    Malformed(INDEX, {}, "expected text"),
    Malformed(INDEX, {"document": 7}, "file name 7: expected text"),
    Malformed(INDEX, {"document": "no/such/file.py"}, "there is no file 'no/such/file.py'"),
    Malformed(INDEX, {"document": "../../../etc/passwd"}, "leads out of the library"),
    Malformed(INDEX, "json/decoder.py", "payload is not valid: expected an object"),
    Malformed(ARCHIVE, {"files": []}, '"files" is []'),
    Malformed(ARCHIVE, {"files": ["abc.py", None]}, "file name None"),
)


@dataclass(frozen=True, slots=True)
class DemoJob(NewJob):
    """One row to insert. `malformed` is the text that its error must contain; None: it must complete."""

    malformed: str | None = None


def make_jobs(jobs: int, tenants: Sequence[UUID], files: Mapping[str, int], dice: random.Random) -> list[DemoJob]:
    """Exactly `jobs` jobs in the order of insertion; the loud tenant's are first, so that fairness shows.

    `files` are the files that the workers can read: name -> size in bytes.
    """
    names = sorted(files)
    archives = [_some_files(files, dice) for _ in range(DIFFERENT_ARCHIVES)]
    payloads: list[tuple[str, Any, str | None]] = [(bad.type, bad.payload, bad.error) for bad in MALFORMED]
    heavy = max(DIFFERENT_ARCHIVES, round(jobs * ARCHIVE_SHARE))
    payloads += [(ARCHIVE, {"files": archives[number % DIFFERENT_ARCHIVES]}, None) for number in range(heavy)]
    short = jobs - len(payloads)
    payloads += [(INDEX, {"document": dice.choice(names)}, None) for _ in range(short)]
    dice.shuffle(payloads)
    senders = _senders(jobs, tenants)
    return [
        DemoJob(UUID(int=dice.getrandbits(128), version=4), sender, type_, payload, error)
        for sender, (type_, payload, error) in zip(senders, payloads, strict=True)
    ]


def _senders(jobs: int, tenants: Sequence[UUID]) -> list[UUID]:
    """For example 3,000 jobs of 20 tenants: 2,700 of the first, then 300 of the other 19 in turn."""
    loud, *others = tenants
    if not others:
        return [loud] * jobs
    by_loud = round(jobs * LOUD_SHARE)
    return [loud] * by_loud + [others[number % len(others)] for number in range(jobs - by_loud)]


def _some_files(files: Mapping[str, int], dice: random.Random) -> list[str]:
    names = sorted(files)
    dice.shuffle(names)
    chosen, total_bytes = [], 0
    for name in names:
        if total_bytes >= ARCHIVE_BYTES:
            break
        chosen.append(name)
        total_bytes += files[name]
    return chosen
