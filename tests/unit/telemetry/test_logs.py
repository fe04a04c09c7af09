"""The controller's log as text: one record begins each line that is not indented."""

from __future__ import annotations

import io
import logging

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.telemetry import logs
from jobtide_controller.telemetry.events import Failed, ReasonChanged

FORGED = "2026-11-29 10:00:00,000 ERROR media/thumbs was deleted"


@pytest.fixture
def text(monkeypatch):
    """text(event) -> what the log shows of it."""

    def shown(event):
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        handler.setFormatter(logs._formatter("text"))
        monkeypatch.setattr(logs._log, "handlers", [handler])
        monkeypatch.setattr(logs._log, "propagate", False)
        logs._log.setLevel(logging.INFO)
        logs.on_event(event)
        return out.getvalue().splitlines()

    return shown


def test_a_line_break_in_the_text_of_a_user_makes_no_record(text):
    message = f"a\n{FORGED} is handled by crm/thumbs too"
    first, second = text(
        ReasonChanged(PoolRef("media", "thumbs"), "uid", "ScalingActive", False, "TypesOverlap", message)
    )
    assert "media/thumbs: ScalingActive: a" in first
    assert second == f"    {FORGED} is handled by crm/thumbs too"


def test_a_traceback_has_its_lines(text):
    assert text(Failed("a tick", "Traceback:\n  File x"))[1:] == ["    Traceback:", "      File x"]
