"""Text of users in terminals and logs: nothing in it acts on the terminal."""

from __future__ import annotations

import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.commands.table import aligned
from jobtide.printable import printable, printable_json, printable_lines
from jobtide.telemetry.logs import JsonFormatter

ANY = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("thumbs", "thumbs", id="plain"),
        pytest.param("größer 漢字 \N{GRINNING FACE}", "größer 漢字 \N{GRINNING FACE}", id="letters of the world"),
        pytest.param("\x1b[2J\x1b[31m", r"\x1b[2J\x1b[31m", id="escape sequences"),
        pytest.param("\x9b2J", r"\x9b2J", id="of one byte"),
        pytest.param("a\r\nb\tc", r"a\r\nb\tc", id="line breaks and tabs"),
        pytest.param("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066", id="direction marks"),
        pytest.param("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d", id="other line breaks"),
        pytest.param("\x00\x07\x08\x7f", r"\x00\x07\x08\x7f", id="bell and backspace"),
        pytest.param("\ud800", r"\ud800", id="half a character"),
        pytest.param("\u200b\ufeff\U000e0041", r"\u200b\ufeff\U000e0041", id="nothing that is seen"),
    ],
)
def test_text_is_shown_as(text, shown):
    assert printable(text) == shown


@given(ANY)
def test_no_character_acts_on_a_terminal(text):
    for shown in (printable(text), *printable_lines(text).split("\n"), printable_json(json.dumps(text))):
        assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@given(ANY)
def test_json_stays_equal(text):
    assert json.loads(printable_json(json.dumps({"type": text}, ensure_ascii=False))) == {"type": text}


def test_lines_are_split_at_line_breaks_only():
    assert printable_lines("a\nb\u2028\tc") == "a\nb\\u2028  c"


def test_cells_of_a_table_are_escaped_and_stay_aligned():
    assert aligned([("a\nb", "1"), ("c", "2")]) == [r"a\nb  1", "c     2"]


def test_log_line_shows_direction_marks_and_control_characters():
    record = logging.LogRecord("x", logging.INFO, "x", 1, "type \u202e\x9b", None, None)
    line = JsonFormatter().format(record)
    assert line.isprintable()
    assert json.loads(line)["message"] == "type \u202e\x9b"
