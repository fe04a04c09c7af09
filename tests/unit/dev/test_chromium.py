"""The browser of the tests: the one that is chosen, or Debian's; an error says what to do."""

from __future__ import annotations

import pytest

from dev.machine import chromium as module
from dev.machine.chromium import chromium
from dev.machine.errors import DevError


def test_a_chosen_browser_is_used(tmp_path):
    program = tmp_path / "chrome"
    program.touch()
    assert chromium({"JOBTIDE_CHROMIUM": str(program)}) == program


def test_a_chosen_browser_that_is_no_file_is_named():
    with pytest.raises(DevError, match=r"JOBTIDE_CHROMIUM='/nowhere/chrome' is no file"):
        chromium({"JOBTIDE_CHROMIUM": "/nowhere/chrome"})


def test_a_browser_that_can_not_be_installed_is_named_with_both_remedies(monkeypatch, tmp_path):
    def no_root(_):
        raise DevError("these Debian packages are missing: chromium; run `apt-get install chromium` as root")

    monkeypatch.setenv("JOBTIDE_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "ensure_packages", no_root)
    with pytest.raises(DevError, match=r"install chromium` as root, or name another Chromium with JOBTIDE_CHROMIUM="):
        chromium({})
