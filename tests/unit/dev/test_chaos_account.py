"""The account: each rule finds what violates it, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from dev.chaos.account import Ending, Record, make_account
from dev.chaos.fleet import Fleet, Holding, Pod, Resize
from dev.chaos.ledger import Claim, Ledger, Life, lives_of
from dev.chaos.plan import Fault, Kind
from dev.chaos.report import show
from dev.chaos.settings import Settings
from dev.chaos.strikes import Course, Strike
from dev.chaos.target import Target
from dev.chaos.workload import EFFECT, FLAKY, LONG, POISON, RARE, SHORT, ChaosJob, expected_result

POD = str(uuid4())
BEGAN_AT = 1_000_000.0
CALM = Ending(unfinished=0, workers=0, not_inserted=0)


def a_job(type_: str = SHORT, delay_seconds: float | None = None) -> ChaosJob:
    return ChaosJob(uuid4(), 0, type_, {"seconds": 0.5, "text": "abc"}, delay_seconds)


def a_claim(at: float, until: float, became: str = "completed", pod: str = POD) -> Claim:
    return Claim(f"jobtide:{pod}:{uuid4().hex[:8]}", BEGAN_AT + at, BEGAN_AT + until, became)


def a_life(job: ChaosJob, *claims: Claim, **changed: Any) -> Life:
    """Inserted at 0, claimed at 1, completed at 2 with the right result, with these fields replaced."""
    life = Life(
        id=job.id,
        status="completed",
        result=expected_result(job),
        attempts=1,
        created_at=BEGAN_AT,
        claims=claims or (a_claim(1, 2),),
        accepted_ends=1,
    )
    return replace(life, **changed)


def a_strike(kind: Kind, at: float, healed: float, uid: str = "", broken: str = "") -> Strike:
    fault = Fault(kind, 0, healed - at, waits=False, dice=0)
    return Strike(fault, Target("it", uid), BEGAN_AT + at, BEGAN_AT + healed, broken)


def a_pod(uid: str = POD, asked_to_stop_at: float | None = None) -> Pod:
    stop_at = None if asked_to_stop_at is None else BEGAN_AT + asked_to_stop_at
    return Pod(uid, f"pod-{uid[:4]}", "chaos", "short", ready=True, running=True, asked_to_stop_at=stop_at)


def rules(
    *lives: tuple[ChaosJob, Life],
    strikes: tuple[Strike, ...] = (),
    fleet: Fleet | None = None,
    executions: dict[UUID, list[str]] | None = None,
    ending: Ending = CALM,
) -> list[str]:
    """The rules that this run violates."""
    record = Record(
        jobs={job.id: job for job, _ in lives},
        uncertain_inserts=0,
        course=Course(strikes=list(strikes)),
        fleet=fleet or Fleet(),
        ledger=Ledger({life.id: life for _, life in lives}, executions or {}),
        ending=ending,
    )
    return [found.rule for found in make_account(Settings(60, 1), record).violations]


def test_a_job_that_ends_as_it_must_violates_no_rule() -> None:
    job = a_job()

    assert rules((job, a_life(job))) == []


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        pytest.param({"status": "processing"}, "every job ends", id="unfinished"),
        pytest.param({"accepted_ends": 2}, "every job ends once", id="ended-twice"),
        pytest.param({"accepted_ends": 0}, "every job ends once", id="no-recorded-end"),
        pytest.param({"status": "failed"}, "right end", id="failed"),
        pytest.param({"result": {"seconds": 0.5}}, "right result", id="wrong-result"),
        pytest.param({"attempts": 9}, "bounded attempts", id="too-many-attempts"),
        pytest.param({"attempts": 2}, "bounded attempts", id="more-attempts-than-claims"),
        pytest.param({"attempts": 0}, "bounded attempts", id="no-attempt"),
    ],
)
def test_a_wrong_end_is_found(changed: dict[str, Any], rule: str) -> None:
    job = a_job()

    assert rules((job, a_life(job, **changed))) == [rule]


def test_a_missing_row_and_one_that_was_not_inserted_are_found() -> None:
    inserted, stray = a_job(), a_job()

    assert rules((inserted, a_life(stray))) == ["no job from nowhere", "no job lost"]


def test_poison_must_fail_with_its_own_error_and_within_its_attempts() -> None:
    job = a_job(POISON)
    claims = tuple(a_claim(at, at + 0.5, "pending") for at in (1, 2, 3))
    failed = a_life(job, *claims, status="failed", attempts=3, result={"error": {"message": "poison abc"}})

    assert rules((job, failed)) == []
    assert rules((job, replace(failed, status="completed"))) == ["right end"]
    assert rules((job, replace(failed, result={"error": {"message": "gone"}}))) == ["right result"]
    assert rules((job, replace(failed, attempts=4, claims=(*claims, claims[0])))) == ["bounded attempts"]


def test_a_long_wait_needs_a_fault_or_its_recovery() -> None:
    job = a_job()
    late = (job, a_life(job, a_claim(30, 31)))

    assert rules(late) == ["no wait without cause"]
    assert rules(late, strikes=(a_strike(Kind.POSTGRES_KILLED, 5, 10),)) == []
    assert rules(late, strikes=(a_strike(Kind.POSTGRES_KILLED, 40, 45),)) == ["no wait without cause"]


def test_a_fault_explains_no_wait_long_after_its_end() -> None:
    early, late = a_job(), a_job()
    stuck = a_life(early, a_claim(90, 91))
    much_later = a_life(late, a_claim(120, 121), created_at=BEGAN_AT + 80)
    strike = a_strike(Kind.POSTGRES_KILLED, -5, 5)

    assert rules((early, stuck), (late, much_later), strikes=(strike,)) == ["no wait without cause"]


def test_a_scheduled_job_waits_from_the_time_at_which_it_is_due() -> None:
    job = a_job(RARE, delay_seconds=30)

    assert rules((job, a_life(job, a_claim(31, 32)))) == []


def test_a_claim_without_a_result_needs_a_fault_while_it_lasted() -> None:
    job = a_job(LONG)
    twice = a_life(job, a_claim(1, 20, "pending"), a_claim(21, 50), attempts=1)

    assert rules((job, twice)) == ["no claim lost without cause"]
    assert rules((job, twice), strikes=(a_strike(Kind.WORKER_KILLED, 10, 10),)) == []
    flaky = a_job(FLAKY)
    assert rules((flaky, a_life(flaky, *twice.claims, attempts=2))) == []


def test_each_execution_of_an_effect_job_has_its_own_claim_and_each_end_has_an_execution() -> None:
    job = a_job(EFFECT)
    life = a_life(job)
    (claim,) = life.claims

    assert rules((job, life), executions={job.id: [claim.token]}) == []
    assert rules((job, life), executions={job.id: [claim.token] * 2}) == ["no claim run twice"]
    assert rules((job, life), executions={job.id: [claim.token, "jobtide:x:y"]}) == ["no claim run twice"]
    assert rules((job, life)) == ["no end without a run"]


@pytest.mark.parametrize(
    ("resize", "broken"),
    [
        pytest.param(Resize(BEGAN_AT + 0, "short", 0, 5), [], id="to-its-max"),
        pytest.param(Resize(BEGAN_AT + 0, "short", 0, 6), ["never above max"], id="above-its-max"),
        pytest.param(Resize(BEGAN_AT + 15, "short", 1, 0), ["never to zero over work"], id="zero-while-running"),
        pytest.param(Resize(BEGAN_AT + 5, "short", 1, 0), ["never to zero over work"], id="zero-while-waiting"),
        pytest.param(Resize(BEGAN_AT + 10, "short", 1, 0), [], id="zero-at-the-moment-of-the-claim"),
        pytest.param(Resize(BEGAN_AT + 25, "short", 1, 0), [], id="zero-after-the-end"),
        pytest.param(Resize(BEGAN_AT + 15, "rare", 1, 0), [], id="zero-elsewhere"),
    ],
)
def test_the_number_of_workers_stays_within_its_bounds(resize: Resize, broken: list[str]) -> None:
    job = a_job()

    assert rules((job, a_life(job, a_claim(9, 20))), fleet=Fleet(resizes=[resize])) == broken


@pytest.mark.parametrize(
    ("asked_at", "strikes", "broken"),
    [
        pytest.param(10, (), ["no busy pod stopped"], id="in-mid-job"),
        pytest.param(2, (), [], id="a-moment-after-the-claim"),
        pytest.param(21, (), [], id="after-the-job"),
        pytest.param(19.5, (), [], id="in-the-second-of-its-end"),
        pytest.param(10, (a_strike(Kind.WORKER_DELETED, 10, 10, POD),), [], id="by-a-fault"),
        pytest.param(10, (a_strike(Kind.WORKER_KILLED, 8, 8, POD),), [], id="its-process-was-dead"),
        pytest.param(10, (a_strike(Kind.WORKER_DELETED, 10, 10, "other"),), ["no busy pod stopped"], id="another-was"),
        pytest.param(10, (a_strike(Kind.CONTROLLER_MANAGER_KILLED, 0, 9),), [], id="long-since-decided"),
        pytest.param(
            10, (a_strike(Kind.API_SERVER_KILLED, -9, -3),), ["no busy pod stopped"], id="api-was-back-before"
        ),
        pytest.param(10, (a_strike(Kind.POSTGRES_KILLED, 0, 9),), ["no busy pod stopped"], id="only-postgres-down"),
    ],
)
def test_a_busy_pod_is_never_asked_to_stop(asked_at: float, strikes: tuple[Strike, ...], broken: list[str]) -> None:
    job = a_job()
    pods = {POD: a_pod(asked_to_stop_at=asked_at)}

    assert rules((job, a_life(job, a_claim(1, 20))), strikes=strikes, fleet=Fleet(pods=pods)) == broken


@pytest.mark.parametrize(
    ("released", "taken_at", "broken"),
    [
        pytest.param(False, 18, [], id="ran-out"),
        pytest.param(False, 15, ["one leader at a time"], id="taken-too-soon"),
        pytest.param(True, 11, [], id="released"),
    ],
)
def test_the_lease_is_taken_only_after_its_holder_stopped(released: bool, taken_at: float, broken: list[str]) -> None:
    holdings = [Holding("a", 0, 10, released=released), Holding("b", taken_at, 30)]

    assert rules(fleet=Fleet(holdings=holdings)) == broken


def test_what_does_not_recover_or_is_left_over_is_found() -> None:
    strike = a_strike(Kind.KUBELET_KILLED, 1, 2, broken="waited for kubelet")

    assert rules(strikes=(strike,), ending=Ending(3, 2, 1)) == [
        "the queue empties",
        "the pools go back to zero",
        "the producer inserts all",
        "everything comes back",
    ]


def test_the_last_line_is_the_figures_as_json() -> None:
    job = a_job()
    record = Record(
        {job.id: job}, 1, Course([a_strike(Kind.ETCD_KILLED, 0.5, 0.8)]), Fleet(), Ledger({job.id: a_life(job)}), CALM
    )
    lines: list[str] = []

    show(make_account(Settings(60, 1), record), lines.append)

    figures = json.loads(lines[-1])
    assert (figures["seed"], figures["seconds"], figures["jobs"]) == (1, 60, 1)
    assert figures["faults"] == {"etcd killed": 1}
    assert figures["outcomes"] == {"completed": 1}
    assert figures["waits"]["short"] == {"p50": 1.0, "p95": 1.0, "max": 1.0}
    assert figures["recoveries"] == {"p50": 0.2, "p95": 0.2, "max": 0.2}
    assert figures["violations"] == []
    assert "etcd killed" in lines[0]


def test_a_life_is_built_from_its_transitions() -> None:
    job = uuid4()
    transitions = [
        (job, "processing", "jobtide:a:1", 1.0),
        (job, "pending", "jobtide:a:1", 2.0),
        (job, "processing", "jobtide:b:2", 3.0),
        (job, "completed", "jobtide:b:2", 4.0),
    ]

    life = lives_of([(job, "completed", {}, 2, 0.0)], transitions)[job]

    assert life.claims == (Claim("jobtide:a:1", 1, 2, "pending"), Claim("jobtide:b:2", 3, 4, "completed"))
    assert (life.accepted_ends, life.first_claim_at, life.claims[0].pod_uid) == (1, 1.0, "a")
