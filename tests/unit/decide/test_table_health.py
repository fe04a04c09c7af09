"""The verdict that pools show changes seldom: each change is a write of every pool's status."""

from __future__ import annotations

from jobtide.table_health import Verdict
from jobtide_controller.decide.table_health import LOOKS, Shown

UNREAD = Verdict("NotReadable", "lock timeout")
WELL, OLD, DEAD = Verdict("Healthy", ""), Verdict("OldSnapshot", "an hour"), Verdict("DeadRows", "many")


def shown(*found):
    state = Shown()
    for one in found:
        state = state.after(one)
    return state.verdict


def test_the_first_look_decides():
    assert shown(OLD) == OLD


def test_a_look_that_fails_at_the_start_says_nothing_unless_it_lasts():
    assert shown(UNREAD) is None
    assert shown(UNREAD, WELL) == WELL
    assert shown(UNREAD, Verdict("NotReadable", "other words"), UNREAD) == UNREAD


def test_another_verdict_is_shown_when_it_lasts():
    assert shown(WELL, *[OLD] * (LOOKS - 1)) == WELL
    assert shown(WELL, *[OLD] * LOOKS) == OLD


def test_a_table_at_a_threshold_changes_nothing():
    assert shown(WELL, *[OLD, OLD, WELL, OLD, DEAD, DEAD] * 50) == WELL


def test_a_reason_that_lasts_is_shown_though_its_numbers_grow():
    worse = Verdict("OldSnapshot", "a day")
    assert shown(WELL, OLD, OLD, worse) == worse


def test_another_message_of_the_same_reason_has_to_last_too():
    worse = Verdict("OldSnapshot", "a day")
    assert shown(OLD, worse, OLD, worse, OLD, worse) == OLD
    assert shown(OLD, *[worse] * LOOKS) == worse
