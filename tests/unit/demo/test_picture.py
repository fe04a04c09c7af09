"""The picture of the README comes from the committed recording, and from nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from dev.demo.picture import svg
from dev.demo.recording import Recording, Sample, read_recording

DOCS = Path(__file__).parents[3] / "docs"
RUN = Recording(
    jobs=100,
    tenants=5,
    cores=2,
    last_line="demo: jobs=100 lost=0",
    samples=(
        Sample(0.0, 0, 0, 0),
        Sample(0.5, 100, 10, 4),
        Sample(3.0, 20, 0, 4),
        Sample(4.0, 0, 0, 4),
        Sample(9.0, 0, 0, 0),
    ),
)


def test_the_committed_picture_is_drawn_from_the_committed_recording() -> None:
    assert svg(read_recording(DOCS / "demo.json")) == (DOCS / "demo.svg").read_text(), "run dev.demo.picture again"


def test_the_committed_run_lost_nothing_and_went_from_zero_to_many_to_zero() -> None:
    run = read_recording(DOCS / "demo.json")
    assert f"jobs={run.jobs} " in run.last_line
    assert "lost=0 duplicates=0" in run.last_line
    workers = [sample.workers for sample in run.samples]
    assert (workers[0], workers[-1]) == (0, 0)
    assert f"max_workers={max(workers)} " in run.last_line
    assert run.samples[-1].jobs == 0


def test_the_committed_picture_is_small() -> None:
    assert len((DOCS / "demo.svg").read_bytes()) < 20_000


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    RUN.write(tmp_path / "run.json")
    assert read_recording(tmp_path / "run.json") == RUN


def test_the_lines_go_through_what_was_seen() -> None:
    picture = ET.fromstring(svg(RUN))
    (workers,) = [path.get("d") for path in picture.iter() if path.get("class") == "workers"]
    assert workers is not None
    xs = [float(x) for x in re.findall(r"[MH]([\d.]+)", workers)]
    ys = [float(y) for y in re.findall(r"(?:V|M[\d.]+ )([\d.]+)", workers)]
    assert xs == sorted(xs)
    assert ys[0] == ys[-1] == max(ys)  # no workers, at the bottom
    assert len(set(ys)) == 2


def test_the_description_says_when_the_last_jobs_ended() -> None:
    picture = ET.fromstring(svg(RUN))
    (description,) = [part.text for part in picture.iter() if part.get("id") == "d"]
    assert description == (
        "The number of workers goes from 0 to 4 and back to 0. The last job ends after 4 s, "
        "the last one of the 4 quiet tenants after 3 s."
    )
