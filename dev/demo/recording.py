"""A recorded run of the demo: jobs left and workers over time, as a file that `make picture` draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """What was there at one moment."""

    seconds: float  # since the insert began
    jobs: int  # pending or processing
    quiet_jobs: int  # those of all tenants but the loud one
    workers: int  # that exist


@dataclass(frozen=True, slots=True)
class Recording:
    """One run: its size, its machine, what was observed, and the last line that it printed."""

    jobs: int
    tenants: int
    cores: int
    last_line: str
    samples: Sequence[Sample]

    def write(self, path: Path) -> None:
        """JSON with one sample on a line, so that two runs can be compared."""
        facts = {name: value for name, value in asdict(self).items() if name != "samples"}
        samples = ",\n".join(f"    {json.dumps(sample)}" for sample in self.samples)
        head = json.dumps(facts, indent=2).removesuffix("\n}")
        path.write_text(f'{head},\n  "samples": [\n{samples}\n  ]\n}}\n')


def read_recording(path: Path) -> Recording:
    """The run that `Recording.write` wrote."""
    stored: dict[str, Any] = json.loads(path.read_text())
    return Recording(**{**stored, "samples": tuple(Sample(*sample) for sample in stored["samples"])})
