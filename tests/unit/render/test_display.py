"""Tests the short texts of numbers and ages."""

from __future__ import annotations

import pytest

from jobtide_controller.render import display


@pytest.mark.parametrize(
    ("number", "capped", "text"),
    [
        (0, False, "0"),
        (999, False, "999"),
        (8_140, False, "8,140"),
        (9_999, True, "9,999+"),
        (10_000, False, "10k"),
        (95_999, True, "95k+"),
        (999_999, False, "999k"),
        (1_000_000, False, "1.0M"),
        (1_299_999, False, "1.2M"),
    ],
)
def test_count_is_short_and_never_rounded_up(number, capped, text):
    assert display.count(number, capped=capped) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (41.9, "41s"),
        (60, "1m"),
        (192, "3m12s"),
        (7_440, "2h4m"),
        (7_259, "2h"),
        (86_400, "1d"),
        (273_600, "3d4h"),
    ],
)
def test_age_has_its_two_largest_units(seconds, text):
    assert display.age(seconds) == text
