from __future__ import annotations

import sys

import pytest

from dev.machine.environment import INPUTS, PARTS, Environment
from dev.machine.errors import DevError


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    (root / ".venv").mkdir()
    for name in (*INPUTS, *(f"requirements/{part}.txt" for part in PARTS)):
        (root / name).write_text(name)
    return root


def test_everything_is_installed_by_hash_and_the_project_as_editable(checkout, recorder):
    python, uv = checkout / ".venv/bin/python", checkout / ".venv/bin/uv"

    Environment(checkout, recorder).ensure()

    assert recorder.commands == [
        f"{sys.executable} -m venv {checkout}/.venv",
        f"{python} -m pip install --quiet --require-hashes -r {checkout}/requirements/uv.txt",
        f"{uv} pip install --quiet --python {python} --require-hashes -r {checkout}/requirements/dev.txt",
        f"{uv} pip install --quiet --python {python} --no-deps --no-build-isolation --editable {checkout}",
    ]


def test_nothing_is_run_while_nothing_has_changed(checkout, recorder):
    Environment(checkout, recorder).ensure()
    recorder.commands.clear()

    Environment(checkout, recorder).ensure()

    assert recorder.commands == []


@pytest.mark.parametrize("name", [*INPUTS, "requirements/dev.txt"])
def test_a_changed_input_makes_it_again(name, checkout, recorder):
    Environment(checkout, recorder).ensure()
    recorder.commands.clear()
    (checkout / name).write_text("changed")

    Environment(checkout, recorder).ensure()

    assert len(recorder.commands) == 4


def test_the_demo_installs_its_own_part_or_uses_the_whole(checkout, recorder):
    Environment(checkout, recorder, "demo").ensure()
    assert f"-r {checkout}/requirements/demo.txt" in recorder.commands[2]
    recorder.commands.clear()
    Environment(checkout, recorder, "demo").ensure()
    assert recorder.commands == []
    Environment(checkout, recorder).ensure()
    assert f"-r {checkout}/requirements/dev.txt" in recorder.commands[2]
    recorder.commands.clear()
    Environment(checkout, recorder, "demo").ensure()
    assert recorder.commands == []


def test_an_interrupted_installation_counts_as_incomplete(checkout, recorder, new_recorder):
    Environment(checkout, recorder).ensure()
    (checkout / "requirements/dev.txt").write_text("changed")
    failing = new_recorder(failures={f"{checkout}/.venv/bin/uv": "hash mismatch"})
    with pytest.raises(DevError, match="hash mismatch"):
        Environment(checkout, failing).ensure()
    (checkout / "requirements/dev.txt").write_text("requirements/dev.txt")
    recorder.commands.clear()

    Environment(checkout, recorder).ensure()

    assert len(recorder.commands) == 4


def test_an_unreachable_index_is_named_with_a_remedy(checkout, new_recorder):
    failing = new_recorder(failures={f"{checkout}/.venv/bin/python": "Temporary failure in name resolution"})

    with pytest.raises(DevError, match="the Python package index can't be reached: connect this machine, or name"):
        Environment(checkout, failing).ensure()
