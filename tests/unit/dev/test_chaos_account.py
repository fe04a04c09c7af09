"""The account: each rule finds what violates it, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from dev.chaos.account import Ending, Record, make_account
from dev.chaos.fleet import Exit, Fleet, Holding, Pod, Resize
from dev.chaos.hostile import Writing
from dev.chaos.hostile_namespace import PoolWriting
from dev.chaos.ledger import Claim, Ledger, Life, lives_of
from dev.chaos.plan import Fault, Kind
from dev.chaos.report import show
from dev.chaos.settings import Settings
from dev.chaos.strikes import Course, Strike
from dev.chaos.target import Target
from dev.chaos.workload import (
    EFFECT,
    FLAKY,
    LONG,
    POISON,
    RARE,
    REFUSED_CLAIM,
    REFUSED_ENDS,
    REFUSED_RESULT,
    SHORT,
    ChaosJob,
    expected_result,
)

POD = str(uuid4())
BEGAN_AT = 1_000_000.0
CALM = Ending(unfinished=0, workers=0, not_inserted=0)


REFUSED = {"error": {"message": "chaos refuses completed for this row"}}


def a_job(type_: str = SHORT, delay_seconds: float | None = None, **payload: Any) -> ChaosJob:
    return ChaosJob(uuid4(), 0, type_, {"seconds": 0.5, "text": "abc", **payload}, delay_seconds)


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


def a_strike(
    kind: Kind, at: float, healed: float, uid: str = "", broken: str = "", jobs: frozenset[UUID] = frozenset()
) -> Strike:
    fault = Fault(kind, 0, healed - at, waits=False, dice=0)
    return Strike(fault, Target("it", uid, jobs), BEGAN_AT + at, BEGAN_AT + healed, broken)


def a_pod(uid: str = POD, asked_to_stop_at: float | None = None) -> Pod:
    stop_at = None if asked_to_stop_at is None else BEGAN_AT + asked_to_stop_at
    return Pod(uid, f"pod-{uid[:4]}", "chaos", "short", ready=True, running=True, asked_to_stop_at=stop_at)


def rules(
    *lives: tuple[ChaosJob, Life],
    strikes: tuple[Strike, ...] = (),
    fleet: Fleet | None = None,
    executions: dict[UUID, list[str]] | None = None,
    ending: Ending = CALM,
    hostiles: tuple[Writing, ...] = (),
    hostile_pools: PoolWriting | None = None,
) -> list[str]:
    """The rules that this run violates."""
    record = Record(
        jobs={job.id: job for job, _ in lives},
        uncertain_inserts=0,
        course=Course(strikes=list(strikes)),
        fleet=fleet or Fleet(),
        ledger=Ledger({life.id: life for _, life in lives}, executions or {}),
        ending=ending,
        hostiles=hostiles,
        hostile_pools=hostile_pools,
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
    ],
)
def test_a_wrong_end_is_found(changed: dict[str, Any], rule: str) -> None:
    job = a_job()

    assert rules((job, a_life(job, **changed))) == [rule]


@pytest.mark.parametrize("attempts", [pytest.param(9, id="too-many"), pytest.param(2, id="more-than-claims"), 0])
def test_wrong_attempts_are_found(attempts: int) -> None:
    job = a_job()

    assert rules((job, a_life(job, attempts=attempts))) == ["bounded attempts", "no attempt lost without cause"]


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
    assert rules((job, replace(failed, attempts=4, claims=(*claims, claims[0])))) == [
        "bounded attempts",
        "no attempt lost without cause",
    ]
    assert rules((job, replace(failed, attempts=2))) == ["no attempt lost without cause"]


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
    flaky = a_job(FLAKY, succeeds_at=2)
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


def test_a_lost_claim_costs_no_attempt_until_the_job_ran_alone() -> None:
    job = a_job(LONG)
    fault = (a_strike(Kind.WORKER_KILLED, 0, 100),)

    def after(lost: int, attempts: int) -> list[str]:
        claims = [a_claim(at, at + 0.5, "pending") for at in range(1, lost + 1)]
        return rules((job, a_life(job, *claims, a_claim(90, 99), attempts=attempts)), strikes=fault)

    assert [after(lost, 1) for lost in range(5)] == [[]] * 5
    assert after(1, 2) == after(2, 2) == after(3, 3) == ["no attempt lost without cause"]
    assert after(3, 2) == after(4, 3) == []


def test_a_flaky_job_needs_its_own_attempts_and_no_more() -> None:
    job = a_job(FLAKY, succeeds_at=2)
    failed, crashed, done = a_claim(1, 2, "pending"), a_claim(3, 4, "pending"), a_claim(5, 6)

    assert rules((job, a_life(job, failed, done, attempts=2))) == []
    assert rules((job, a_life(job, failed, crashed, done, attempts=2))) == []
    assert rules((job, a_life(job, failed, crashed, done, attempts=3))) == ["no attempt lost without cause"]
    assert rules((job, a_life(job, failed, done, attempts=1))) == ["no attempt lost without cause"]


def test_a_suspect_that_cannot_run_alone_may_be_requeued_at_once_but_not_late() -> None:
    job = a_job(LONG)
    lost = [a_claim(at, at + 0.5, "pending") for at in (1, 2)]
    fault = (a_strike(Kind.WORKER_KILLED, 0, 3),)

    def after(until: float) -> list[str]:
        returned = a_claim(80, until, "pending")
        return rules((job, a_life(job, *lost, returned, a_claim(100, 101), attempts=1)), strikes=fault)

    assert after(80.1) == []
    assert after(90) == ["no claim lost without cause"]


def test_a_job_that_the_server_refuses_fails_with_its_words_and_another_one_does_not() -> None:
    plain, result, ends, claim = (
        a_job(**refused)
        for refused in ({}, *({"refused": mark} for mark in (REFUSED_RESULT, REFUSED_ENDS, REFUSED_CLAIM)))
    )
    failed: dict[str, Any] = {"status": "failed", "result": REFUSED}

    assert rules((plain, a_life(plain, **failed))) == ["right end"]
    assert rules((result, a_life(result, **failed))) == []
    assert rules((result, a_life(result))) == ["right end"]
    assert rules((ends, a_life(ends, **failed)), (claim, a_life(claim))) == []
    assert rules((ends, a_life(ends, status="failed", result={"error": {"message": "gone"}}))) == ["right result"]
    assert rules((ends, a_life(ends, result={}))) == ["right result"]


def test_a_job_whose_claims_are_refused_may_end_without_one_and_late_and_no_other_may() -> None:
    claim, other = a_job(refused=REFUSED_CLAIM), a_job(refused=REFUSED_RESULT)
    unclaimed: dict[str, Any] = {"claims": (), "attempts": 0, "status": "failed", "result": REFUSED}
    zero = Fleet(resizes=[Resize(BEGAN_AT + 50, "short", 1, 0)])

    assert rules((claim, a_life(claim, **unclaimed)), fleet=zero) == []
    assert rules((claim, a_life(claim, a_claim(300, 301)))) == []
    assert "bounded attempts" in rules((other, a_life(other, **unclaimed)))
    assert "never to zero over work" in rules((other, a_life(other, **unclaimed)), fleet=zero)


def test_a_locked_row_explains_what_happens_to_itself_and_to_no_other() -> None:
    locked, other = a_job(), a_job()
    lock = a_strike(Kind.ROWS_LOCKED, 1, 40, jobs=frozenset({locked.id}))
    late, lost = (a_claim(30, 31),), (a_claim(1, 35, "pending"), a_claim(36, 37))

    assert rules((locked, a_life(locked, *late)), strikes=(lock,)) == []
    assert rules((locked, a_life(locked, *lost)), strikes=(lock,)) == []
    assert rules((other, a_life(other, *late)), strikes=(lock,)) == ["no wait without cause"]
    assert rules((other, a_life(other, *lost)), strikes=(lock,)) == ["no claim lost without cause"]


@pytest.mark.parametrize(
    ("claim", "broken"),
    [
        pytest.param((14, 43), ["no claim lost without cause"], id="before-its-lease-ran-out"),
        pytest.param((3, 32), ["no claim lost without cause"], id="claimed-before-and-not-extended"),
        pytest.param((3, 33), [], id="lease-over"),
        pytest.param((10.5, 12), [], id="cut-while-it-was-answered"),
    ],
)
def test_a_refused_login_explains_a_lost_claim_only_by_its_lease(claim: tuple[float, float], broken: list[str]) -> None:
    job = a_job()
    life = a_life(job, a_claim(*claim, "pending"), a_claim(50, 51))

    assert rules((job, life), strikes=(a_strike(Kind.LOGIN_REFUSED, 10, 45),)) == broken


def test_a_refused_login_explains_a_wait() -> None:
    job = a_job()

    assert rules((job, a_life(job, a_claim(40, 41))), strikes=(a_strike(Kind.CONNECTIONS_LIMITED, 2, 39),)) == []


@pytest.mark.parametrize(
    ("claimed_at", "pod", "more", "broken"),
    [
        pytest.param(25, POD, (), ["no claims while ends wait"], id="late"),
        pytest.param(8, POD, (), [], id="before-it-was-noticed"),
        pytest.param(25, str(uuid4()), (), [], id="another-worker"),
        pytest.param(34, POD, (), [], id="after-the-ends-were-written"),
        pytest.param(25, POD, (a_strike(Kind.POSTGRES_FROZEN, 8, 24),), [], id="sent-before"),
        pytest.param(25, POD, (a_strike(Kind.WORKER_FROZEN, 8, 24, POD),), [], id="frozen-itself"),
        pytest.param(
            25, POD, (a_strike(Kind.WORKER_FROZEN, 8, 24, "x"),), ["no claims while ends wait"], id="another-one-frozen"
        ),
    ],
)
def test_a_worker_that_cannot_write_its_ends_claims_nothing(
    claimed_at: float, pod: str, more: tuple[Strike, ...], broken: list[str]
) -> None:
    unwritten, next_ = a_job(), a_job()
    lives = (unwritten, a_life(unwritten, a_claim(1, 33))), (next_, a_life(next_, a_claim(claimed_at, 35, pod=pod)))
    refused = a_strike(Kind.CONNECTIONS_LIMITED, 2, 32)

    assert rules(*lives, strikes=(refused, *more)) == broken


@pytest.mark.parametrize(
    ("pod", "strikes", "broken"),
    [
        pytest.param(a_pod(), (), ["no worker ends by itself"], id="by-itself"),
        pytest.param(a_pod(asked_to_stop_at=20), (), [], id="asked-to-stop"),
        pytest.param(a_pod(asked_to_stop_at=40), (), ["no worker ends by itself"], id="asked-later"),
        pytest.param(a_pod(), (a_strike(Kind.WORKER_KILLED, 30.9, 31, POD),), [], id="killed"),
        pytest.param(a_pod(), (a_strike(Kind.WORKER_FROZEN, 5, 20, POD),), [], id="restarted-after-it-was-frozen"),
        pytest.param(a_pod(), (a_strike(Kind.WORKER_KILLED, 40, 40, POD),), ["no worker ends by itself"], id="before"),
        pytest.param(a_pod(), (a_strike(Kind.POSTGRES_KILLED, 20, 31),), ["no worker ends by itself"], id="elsewhere"),
    ],
)
def test_a_worker_ends_only_by_a_fault_of_its_own_pod(pod: Pod, strikes: tuple[Strike, ...], broken: list[str]) -> None:
    ended = Exit(BEGAN_AT + 30, pod, 1, "Error")

    assert rules(fleet=Fleet(exits={(pod.uid, ended.at): ended}), strikes=strikes) == broken


def test_a_breach_of_the_walls_and_a_hostile_tenant_that_wrote_nothing_are_found() -> None:
    assert rules(hostiles=(Writing("behind walls", stored=3, refused=2),)) == []
    assert rules(hostiles=(Writing("behind walls", 3, breaches={"insert a finished job"}),)) == ["walls hold"]
    assert rules(hostiles=(Writing("without walls", refused=9),)) == ["the hostile tenants write"]


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


def pool_writing(**changed: Any) -> PoolWriting:
    """A hostile namespace of which all is well, with these fields replaced."""
    whole = PoolWriting(created=5, changed=4, deleted=3, refused=2, reasons=Counter({"InvalidSpec": 3, "Applied": 6}))
    return replace(whole, **changed)


@pytest.mark.parametrize(
    ("writing", "found"),
    [
        pytest.param(pool_writing(), [], id="well"),
        pytest.param(pool_writing(unanswered=50), [], id="faults-of-the-api-server"),
        pytest.param(pool_writing(created=0), ["the hostile namespace writes"], id="nothing-created"),
        pytest.param(pool_writing(refused=0), ["the hostile namespace writes"], id="nothing-refused"),
        pytest.param(pool_writing(silent=("hostile-0003",)), ["every pool says what is wrong"], id="silent"),
        pytest.param(pool_writing(reasons=Counter(InternalError=1)), ["no pool reaches a bug"], id="bug"),
    ],
)
def test_a_hostile_namespace_must_write_and_be_answered(writing: PoolWriting, found: list[str]) -> None:
    assert rules(hostile_pools=writing) == found


def test_a_hostile_namespace_excuses_no_wait() -> None:
    job = a_job()

    assert rules((job, a_life(job, a_claim(60, 61))), hostile_pools=pool_writing()) == ["no wait without cause"]


def test_the_figures_count_what_the_hostile_namespace_did_and_the_conditions_that_were_seen() -> None:
    assert pool_writing(unanswered=1).figures() == {
        "created": 5,
        "changed": 4,
        "deleted": 3,
        "refused": 2,
        "unanswered": 1,
        "reasons": {"Applied": 6, "InvalidSpec": 3},
    }
