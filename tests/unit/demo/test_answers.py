"""The demo and the handlers of the example compute the same results, without shared code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from dev.demo.answers import Answers
from dev.demo.workload import ARCHIVE, INDEX, MALFORMED, DemoJob
from jobtide import Context, Fail, Job, Snooze

EXAMPLE = Path(__file__).parents[3] / "examples" / "01-first-pool" / "handlers.py"
SOME_ID = UUID(int=1)
NAMES = ["json/decoder.py", "abc.py", "collections/__init__.py", "json/__init__.py"]


@pytest.fixture(scope="module")
def handlers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_pool_handlers", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(handlers: ModuleType, type_: str, payload: Any, *, cancelled: bool = False) -> Any:
    context = Context(Job(SOME_ID, SOME_ID, type_, payload, 1, "jobtide:test:1"))
    if cancelled:
        context.cancel("drain")
    handler = handlers.tide.handlers[type_]
    return handler.function(*handler.arguments(payload, context))


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        *(pytest.param(INDEX, {"document": name}, id=name) for name in NAMES),
        pytest.param(ARCHIVE, {"files": NAMES}, id="an archive"),
        pytest.param(ARCHIVE, {"files": list(reversed(NAMES))}, id="the same files in another order"),
        pytest.param(ARCHIVE, {"files": [*NAMES, NAMES[0]]}, id="a file named twice"),
    ],
)
def test_handlers_and_demo_compute_the_same(handlers: ModuleType, type_: str, payload: Any) -> None:
    corpus = {name: (handlers.LIBRARY / name).read_bytes() for name in NAMES}

    result = run(handlers, type_, payload)

    assert result == Answers(corpus).of(DemoJob(SOME_ID, SOME_ID, type_, payload))


def test_a_changed_file_changes_the_answer(handlers: ModuleType) -> None:
    corpus = {name: (handlers.LIBRARY / name).read_bytes() for name in NAMES}
    corpus["abc.py"] += b"# one more line\n"

    for type_, payload in [(INDEX, {"document": "abc.py"}), (ARCHIVE, {"files": NAMES})]:
        assert run(handlers, type_, payload) != Answers(corpus).of(DemoJob(SOME_ID, SOME_ID, type_, payload))


@pytest.mark.parametrize("bad", MALFORMED, ids=lambda bad: bad.error)
def test_a_malformed_payload_fails_at_once_with_the_reason(handlers: ModuleType, bad: Any) -> None:
    with pytest.raises(Fail) as failed:
        run(handlers, bad.type, bad.payload)

    assert bad.error in str(failed.value)


def test_a_link_that_leads_out_of_the_library_is_refused(
    handlers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "secret.py").write_text("password = 1\n")
    (tmp_path / "library" / "link.py").symlink_to(tmp_path / "secret.py")
    monkeypatch.setattr(handlers, "LIBRARY", tmp_path / "library")

    with pytest.raises(Fail, match="leads out of the library"):
        run(handlers, INDEX, {"document": "link.py"})


def test_a_cancelled_archive_is_requeued_and_does_not_fail(handlers: ModuleType) -> None:
    with pytest.raises(Snooze):
        run(handlers, ARCHIVE, {"files": NAMES}, cancelled=True)
