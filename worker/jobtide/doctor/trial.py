"""Tries the statements of a worker or of the controller on the table, in a transaction that is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

from jobtide.doctor.findings import Finding, of_problems
from jobtide.doctor.link import Connection
from jobtide.doctor.url import advice
from jobtide.queue.deadline import NoAnswer
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.queue.trial import try_out
from jobtide.schema import Part, Problem, ProblemKind

SECONDS = 30.0
_CONTROLLERS = "jobtide_controller.postgres.trial"  # by name: the worker never imports the controller
_WELL = {
    "worker": "a job was added, claimed, ended in each way and requeued, and all of it rolled back",
    "controller": "a reading, a rescue, a deletion and a limit were tried, and all of it rolled back",
}

Try = Callable[[Connection], tuple[Problem, ...]]


def trial_findings(url: str, part: Part, answer_seconds: float) -> Iterator[Finding]:
    """A trial that is not possible on an empty table is no fault."""
    try:
        try_: Try = try_out if part == "worker" else import_module(_CONTROLLERS).try_out
    except ModuleNotFoundError:
        yield Finding("trial", "skipped", "the controller's statements need: pip install 'jobtide[controller]'")
        return
    problems = _tried(try_, url, answer_seconds)
    for finding, problem in zip(of_problems("trial", problems, _WELL[part]), problems or (None,), strict=True):
        is_fault = problem is None or problem.kind is not ProblemKind.NOT_TRIED
        yield finding if is_fault else replace(finding, level="note")


def _tried(try_: Try, url: str, answer_seconds: float) -> tuple[Problem, ...]:
    """Over a session as a worker's, which may not take longer than SECONDS in all."""
    end = time.monotonic() + SECONDS

    def waiting(now: float) -> None:
        if now >= end:
            session.close()
            raise NoAnswer(f"the trial was cut off after {SECONDS:g} s")

    session = Session(lambda: url, answer_seconds=answer_seconds, waiting=waiting)
    try:
        return try_(session.connection())
    except DatabaseUnreachable as error:
        return (Problem(ProblemKind.WRITE_REFUSED, f"{error}{advice(str(error))}"),)
    finally:
        session.close()
