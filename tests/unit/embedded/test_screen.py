"""The terminal of `jobtide dev`, on a real pseudo-terminal: what a user sees, and what a pipe gets."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.embedded.screen import Screen, Size, occupied, table
from jobtide_controller.telemetry import events

NOW = 1_795_521_600.0
TICKED = events.Ticked("main", 0.01, 1, 1, 0.02)
HEADINGS = "NAME  PENDING  OLDEST  BUSY  DESIRED  READY  REASON"


class Entry:
    """A pool as the loop has it."""

    def __init__(self, name, pending="0", reason="Idle"):
        spec = {"types": [name], "template": {"spec": {"containers": [{"name": "worker", "image": "none"}]}}}
        self.uid = name
        self.ref = PoolRef("default", name)
        self.pool = JobWorkerPool.model_validate({"metadata": {"name": name, "namespace": "default"}, "spec": spec})
        self.status = {"display": {"pending": pending}, "desiredReplicas": 2, "reason": reason}


class Terminal:
    """A pseudo-terminal, and the text that a user sees on it and above it."""

    def __init__(self, width, height):
        self.master, slave = pty.openpty()
        self.out = os.fdopen(slave, "w", encoding="utf-8")
        self.lines, self.row, self.column = [""], 0, 0
        self.resize(width, height)

    def resize(self, width, height):
        self.width = width
        fcntl.ioctl(self.out.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def text(self):
        """All rows without the empty last one. Understands what Screen sends: up, erase, characters, line breaks."""
        os.write(self.out.fileno(), b"\0")
        sent = b""
        while not sent.endswith(b"\0"):
            sent += os.read(self.master, 65_536)
        for up, erase, character in re.findall(r"\x1b\[(\d+)A|(\x1b\[J)|([^\0])", sent.decode(), re.DOTALL):
            self._apply(up, erase, character)
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    def _apply(self, up, erase, character):
        if up:
            self.row -= int(up)
            assert self.row >= 0
        elif erase:
            self.lines[self.row :] = [""]
        elif character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        else:
            if self.column == self.width:
                self._down()
                self.column = 0
            assert character.isprintable()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal(80, 24)
    yield made
    made.out.close()
    os.close(made.master)


def test_the_table_stays_below_the_lines_and_is_there_once(terminal):
    entries = [Entry("docs", pending="12")]
    screen = Screen(lambda: entries, terminal.out, now=lambda: NOW)
    screen.write("first")
    screen(TICKED)
    screen.write("second\nthird")
    entries[0].status["desiredReplicas"] = 3
    screen(TICKED)
    assert terminal.text() == (
        "first\nsecond\nthird\n\n"
        "NAME  PENDING  OLDEST  BUSY  DESIRED  READY  REASON  AGE\n"
        "docs  12                     3               Idle    0s"
    )


def test_an_unchanged_table_is_not_written_again(terminal):
    screen = Screen(lambda: [Entry("docs")], terminal.out, now=lambda: NOW)
    screen.refresh()
    terminal.text()
    screen.refresh()
    os.write(terminal.out.fileno(), b"\0")
    assert os.read(terminal.master, 100) == b"\0"


def test_the_age_counts_from_the_first_look(terminal):
    clock = [NOW]
    screen = Screen(lambda: [Entry("docs")], terminal.out, now=lambda: clock[0])
    screen.refresh()
    clock[0] += 250
    screen.refresh()
    assert terminal.text().endswith("Idle    4m10s")


def test_after_the_terminal_was_made_narrower_no_part_of_the_old_table_is_left(terminal):
    screen = Screen(lambda: [Entry("docs")], terminal.out, now=lambda: NOW)
    screen.write("line")
    screen.refresh()
    terminal.text()
    terminal.resize(30, 24)
    # A terminal wraps what it shows when it is made narrower.
    rows = [line[start : start + 30] for line in terminal.lines for start in range(0, max(1, len(line)), 30)]
    terminal.lines, terminal.row = rows, len(rows) - 1
    screen.refresh()
    assert terminal.text() == "line\n\nNAME  PENDING  OLDEST  BUSY\ndocs  0"


def test_after_its_end_the_table_is_left_above_later_lines(terminal):
    screen = Screen(lambda: [Entry("docs")], terminal.out, now=lambda: NOW)
    screen.refresh()
    screen.close()
    screen.write("stopped")
    screen.refresh()
    assert terminal.text().splitlines()[-2:] == ["docs  0                      2               Idle    0s", "stopped"]


def test_a_line_cant_move_the_cursor_or_change_colours(terminal):
    screen = Screen(list, terminal.out, now=lambda: NOW)
    screen.write("\x1b[2J\x07 ü\t\u202e\r \udcff")
    assert terminal.text() == r"\x1b[2J\x07 ü \u202e\r \udcff"


def test_a_pipe_gets_the_lines_and_no_table():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Screen(lambda: [Entry("docs")], out, now=lambda: NOW)
    screen.write("größer")
    screen(TICKED)
    screen.write("b")
    assert out.buffer.getvalue() == b"gr\\xf6\\xdfer\nb\n"


def test_a_terminal_without_cursor_movement_is_as_a_pipe(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen(lambda: [Entry("docs")], terminal.out, now=lambda: NOW)
    screen(TICKED)
    screen.write("line")
    assert terminal.text() == "line"


def test_a_reader_that_is_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        screen = Screen(list, out)
        screen.write("line")
        screen.write("line")
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # for what the file still holds


@pytest.mark.parametrize(
    ("height", "lines"),
    [
        pytest.param(4, 0, id="no room"),
        pytest.param(5, 4, id="one pool and the number of the others"),
        pytest.param(12, 11, id="some"),
        pytest.param(13, 12, id="all"),
        pytest.param(50, 12, id="more room than pools"),
    ],
)
def test_the_table_and_the_cursor_fit_into_the_terminal(height, lines):
    rows = [(f"pool-{number}", *["x"] * 7) for number in range(10)]
    drawn = table(rows, Size(40, height))
    assert len(drawn) == lines
    assert len(drawn) < height
    assert all(len(line) < 40 for line in drawn)
    hidden = 10 - sum(line.startswith("pool-") for line in drawn)
    assert not drawn or not hidden or drawn[-1] == f"and {hidden} more pools"


def test_without_pools_there_is_no_table():
    assert table([], Size(80, 24)) == []


def test_wrapped_lines_occupy_more_rows():
    assert occupied(["", "x" * 30, "x" * 31], 30) == 4
