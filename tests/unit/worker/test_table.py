from __future__ import annotations

from jobtide.commands.table import aligned

ROWS = [("type", "jobs", "note"), ("email.send", "12", ""), ("a", "", "due")]


def test_columns_are_as_wide_as_their_longest_cell_and_lines_have_no_trailing_spaces():
    assert aligned(ROWS, "<><") == [
        "type        jobs  note",
        "email.send    12",
        "a                 due",
    ]


def test_columns_without_an_alignment_are_aligned_right():
    assert aligned(ROWS) == [
        "type        jobs  note",
        "email.send    12",
        "a                  due",
    ]


def test_empty_columns_take_no_width():
    assert aligned([("a", "", "b")], "<<<") == ["a    b"]
