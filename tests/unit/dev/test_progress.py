from __future__ import annotations

import io

import pytest

from dev.machine.progress import Step, duration, step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_whole_lines_and_no_carriage_returns():
    out = io.StringIO()

    with step("Building etcd", usual="40 s", out=out):
        pass

    first, last = out.getvalue().splitlines()
    assert first == "Building etcd (usually 40 s)"
    assert last.startswith("Building etcd: done in 0.")
    assert "\r" not in out.getvalue()


def test_a_terminal_is_drawn_over():
    out = Terminal()

    with step("Building etcd", usual="40 s", out=out):
        pass

    assert out.getvalue().count("\r") == 2
    assert out.getvalue().endswith(" s\n")


def test_a_failed_step_is_not_shown_as_done():
    out = io.StringIO()

    with pytest.raises(ValueError, match="broken"), step("Building etcd", usual="40 s", out=out):
        raise ValueError("broken")

    assert "stopped after" in out.getvalue()
    assert "done" not in out.getvalue()


@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [
        pytest.param(0, 200, "Building: 15 s (usually 40 s)", id="nothing-yet"),
        pytest.param(50, 200, "Building: 50 of 200 packages, 15 s (usually 40 s)", id="known"),
        pytest.param(50, None, "Building: 50 packages, 15 s (usually 40 s)", id="no-total"),
        pytest.param(50, 40, "Building: 50 of 50 packages, 15 s (usually 40 s)", id="more-than-expected"),
    ],
)
def test_a_line_shows_the_progress(done, total, expected):
    assert Step("Building", "40 s", "packages", total, done, started=100.0).line(now=115.0) == expected


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (12.6, "13 s"), (185.0, "3 min 05 s")])
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text
