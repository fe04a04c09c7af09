"""When a worker runs a suspect alone: how long it waits, what it requeues, and that forged marks can't stop it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobtide.errors import ProcessDied, Snooze
from jobtide.job import End
from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import RunsApart
from jobtide.worker import outcome
from jobtide.worker.apart import Alone
from jobtide.worker.in_flight import InFlight
from jobtide.worker.outcome import RetryPolicy
from jobtide.worker.stuck import all_stuck
from tests.unit.worker.scripted import job_of


class Parts:
    def __init__(self):
        self.in_flight, self.written, self.events, self.marks = InFlight(60), [], [], []
        self.answer: object = True
        self.alone = Alone(self.in_flight, self.extend, self.written.append, self.events.append)

    def extend(self, contexts):
        if isinstance(self.answer, Exception):
            raise self.answer
        self.marks += [json.loads(context.reported) for context in contexts]
        return {context.job.id for context in contexts if self.answer}


@pytest.fixture
def parts():
    return Parts()


def suspect():
    return job_of("a", result={"suspect": 2})


@pytest.mark.parametrize(
    "result", [None, {}, {"suspect": 1}, {"suspect": True}, {"suspect": 2.0}, ["suspect"]], ids=str
)
def test_only_a_job_of_two_crashes_is_kept(parts, result):
    assert not parts.alone.keep(job_of("a", result=result), 0)
    assert not parts.alone.blocks_claims(0, 0)


def test_a_kept_job_starts_once_when_the_others_have_ended_and_claims_wait_for_its_end(parts):
    job = suspect()
    assert parts.alone.keep(job, 10)
    assert [claimed.job for claimed in parts.in_flight.all()] == [job], "its lease is extended, a drain requeues it"
    assert parts.alone.next_to_start(2, 11) is None
    assert parts.alone.blocks_claims(2, 11)
    started = parts.alone.next_to_start(0, 12)
    assert started == replace(job, result={"suspect": 3})
    assert parts.marks == [{"suspect": 3}], "in its row before the handler is called"
    assert parts.events == [RunsApart(started, "alone")]
    assert parts.alone.next_to_start(0, 12) is None
    assert parts.alone.blocks_claims(1, 13)
    assert not parts.alone.blocks_claims(0, 14)


def test_a_second_suspect_is_requeued_for_later_without_counting_the_attempt(parts):
    parts.alone.keep(suspect(), 0)
    second = suspect()
    assert parts.alone.keep(second, 0)
    (end,) = parts.written
    assert (end.job, end.status, end.gives_back, end.result) == (second, "pending", True, None)
    assert 5 <= end.delay_seconds <= 10


def test_a_worker_spends_a_quarter_of_its_time_on_suspects_at_most(parts):
    parts.alone.keep(suspect(), 100)
    parts.alone.next_to_start(0, 110)
    assert not parts.alone.blocks_claims(0, 120)  # 20 s in all: the next one not before 180
    parts.alone.keep(suspect(), 179)
    assert len(parts.written) == 1
    parts.alone.keep(suspect(), 180)
    assert len(parts.written) == 1
    assert parts.alone.blocks_claims(0, 180)


def test_a_suspect_that_never_returns_stops_the_others_for_ten_minutes_at_most(parts):
    parts.alone.keep(suspect(), 0)
    parts.alone.next_to_start(0, 0)
    assert parts.alone.blocks_claims(1, 600)
    assert not parts.alone.blocks_claims(1, 601)


def test_a_kept_job_whose_lease_was_lost_is_not_started(parts):
    job = suspect()
    parts.alone.keep(job, 0)
    parts.in_flight.take(job)
    assert parts.alone.next_to_start(0, 1) is None
    assert not parts.alone.blocks_claims(0, 1)


@pytest.mark.parametrize("answer", [False, RowRefused("locked", None)], ids=["lease lost or row locked", "refused"])
def test_a_job_whose_row_cannot_be_marked_is_requeued_and_not_started(parts, answer):
    parts.alone.keep(suspect(), 0)
    parts.answer = answer
    assert parts.alone.next_to_start(0, 1) is None
    assert [end.reason for end in parts.written] == ["returned"]
    assert len(parts.in_flight) == 0
    assert not parts.alone.blocks_claims(0, 1)


def test_a_job_waits_to_run_alone_while_the_database_is_away(parts):
    job = suspect()
    parts.alone.keep(job, 0)
    parts.answer = DatabaseUnreachable("closed")
    with pytest.raises(DatabaseUnreachable):
        parts.alone.next_to_start(0, 1)
    assert parts.alone.blocks_claims(0, 1)
    parts.answer = True
    assert parts.alone.next_to_start(0, 2).id == job.id


@pytest.mark.parametrize("requeued", ["drained", "snoozed"])
def test_a_job_that_ran_alone_and_is_requeued_waits_to_run_alone_again(job, moment, requeued):
    def end(result):
        one = replace(job, result=result)
        return outcome.requeued(one) if requeued == "drained" else outcome.raised(one, Snooze(1), RetryPolicy(), moment)

    assert json.loads(end({"error": {}, "suspect": 3}).result) == {"error": {}, "suspect": 2}
    assert end({"suspect": 2}).result is None, "the row has it"


def test_the_mark_of_a_suspect_is_kept_beside_its_error(job, moment):
    end = outcome.suspected(outcome.raised(job, ProcessDied("killed"), RetryPolicy(), moment), 1)
    assert '"type": "ProcessDied"' in end.result
    assert end.result.endswith('"suspect": 1}')


def test_a_requeued_suspect_keeps_what_its_row_has(job):
    again = outcome.suspected(outcome.requeued(replace(job, result={"error": {"type": "x"}, "suspect": 1})), 2)
    assert again.result == '{"error": {"type": "x"}, "suspect": 2}'
    assert again.gives_back


def test_an_end_that_is_final_gets_no_mark(job):
    end = End(job, "failed", "{}")
    assert outcome.suspected(end, 1) is end


@pytest.mark.parametrize(
    ("timeout_seconds", "late_seconds", "stuck"),
    [(1, 4.9, False), (1, 5.1, True), (30, 29, False), (30, 31, True), (3_600, 59, False), (3_600, 61, True)],
)
def test_a_handler_is_stuck_when_it_is_late_by_its_timeout_within_bounds(timeout_seconds, late_seconds, stuck):
    in_flight = InFlight(60)
    claimed = in_flight.add(job_of("a"), 0, timeout_seconds)
    in_flight.start(claimed, 0)
    assert not all_stuck(in_flight, 1, timeout_seconds + 1_000), "it was not cancelled yet"
    claimed.context.cancel("timeout")
    assert all_stuck(in_flight, 1, timeout_seconds + late_seconds) is stuck


def test_one_handler_that_is_not_stuck_or_one_place_more_keeps_the_worker():
    in_flight = InFlight(60)
    stuck = in_flight.add(job_of("a"), 0, 1)
    in_flight.start(stuck, 0)
    stuck.context.cancel("timeout")
    assert all_stuck(in_flight, 1, 100)
    assert not all_stuck(in_flight, 2, 100)
    in_flight.start(in_flight.add(job_of("b"), 0, None), 0)
    assert not all_stuck(in_flight, 1, 100)
