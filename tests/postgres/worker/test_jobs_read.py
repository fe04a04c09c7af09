"""The operator's questions: which jobs match, what one holds, and why it waits."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from jobtide.commands.jobs_read import _hints
from jobtide.operate import select
from jobtide.operate import why as why_module
from jobtide.operate.filters import STATUSES, JobFilter
from jobtide.operate.read import list_jobs, show_job
from jobtide.operate.session import TooSlow, operator_connection, rows
from jobtide.operate.why import CODES, PoolFacts, why
from jobtide.schema import apply

NOW = datetime.now(UTC)


@pytest.fixture
def operator(database):
    with operator_connection(database) as connection:
        yield connection


@pytest.fixture
def found(operator):
    """found(type="t", ...): the ids of the list for these filters, as a URL has them."""

    def run(limit=50, **values):
        return [UUID(job.id) for job in list_jobs(operator, JobFilter.of(values, NOW), limit=limit).jobs]

    return run


@pytest.fixture
def jobs(enqueue, tenant):
    """One job of each status and more, as ids by name; `mine` and `other` are tenants."""
    mine, other = tenant("mine"), tenant("other")

    def add(type_, owner, age_hours, **columns):
        return enqueue(type_, owner, created_at=NOW - timedelta(hours=age_hours), **columns)

    failed = {"status": "failed", "attempts": 5, "completed_at": NOW}
    return {
        "mine": mine,
        "other": other,
        "waiting": add("mail", mine, 1),
        "later": add("mail", other, 2, next_retry_at=NOW + timedelta(hours=1)),
        "running": add("video", mine, 3, status="processing", worker_id="jobtide:pod:1", attempts=1),
        "done": add("mail", mine, 4, status="completed", completed_at=NOW, result='{"pages": 3}'),
        "boom": add("mail", other, 5, result='{"error": {"type": "Boom", "message": "No Space"}}', **failed),
        "foreign": add("video", other, 6, result='{"error": "disk full"}', **failed),
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["waiting", "later", "running", "done", "boom", "foreign"]),
        ({"type": "mail"}, ["waiting", "later", "done", "boom"]),
        ({"type": "mai"}, []),
        ({"status": "failed"}, ["boom", "foreign"]),
        ({"status": "pending", "type": "mail"}, ["waiting", "later"]),
        ({"error": "no space"}, ["boom"]),
        ({"error": "DISK"}, ["foreign"]),
        ({"error": "boom", "status": "failed", "type": "mail"}, ["boom"]),
        ({"since": "210m"}, ["waiting", "later", "running"]),
        ({"until": "210m"}, ["done", "boom", "foreign"]),
        ({"since": "5h", "until": "4h"}, ["boom"]),
        ({"tenant": "mine"}, ["waiting", "running", "done"]),
        ({"tenant": "mine", "status": "completed"}, ["done"]),
        ({"tenant": "mine", "type": "mail", "since": "2h"}, ["waiting"]),
        ({"id": "running"}, ["running"]),
        ({"id": "running", "status": "processing"}, ["running"]),
        ({"id": "running", "status": "failed"}, []),
    ],
    ids=str,
)
def test_every_given_filter_holds_and_the_newest_come_first(jobs, found, values, expected):
    values = {name: str(jobs[text]) if name in {"tenant", "id"} else text for name, text in values.items()}
    assert found(**values) == [jobs[name] for name in expected]


@pytest.mark.parametrize("small", [1, select.SMALL], ids=["tenants and types are large", "they are small"])
def test_a_large_tenant_or_type_is_found_by_the_walk_too(jobs, found, monkeypatch, small):
    monkeypatch.setattr(select, "SMALL", small)
    assert found(tenant=str(jobs["other"])) == [jobs[name] for name in ("later", "boom", "foreign")]
    assert found(type="mail", status="pending") == [jobs["waiting"], jobs["later"]]


@pytest.mark.parametrize("small", [1, 9])
def test_every_way_to_look_finds_what_a_plain_query_finds(operator, tenant, monkeypatch, small):
    """All combinations of filters. With 9 a type's waiting jobs are a small set, and a tenant's jobs are not."""
    monkeypatch.setattr(select, "SMALL", small)
    owners = [tenant(), tenant(), tenant()]
    for number, status in itertools.product(range(12), STATUSES):
        columns = {"tenant": owners[number % 5 % 3], "type": "ab"[number % 7 % 2], "status": status, "n": number}
        operator.execute(
            """INSERT INTO job_queue (tenant_id, type, status, created_at, result)
               VALUES (%(tenant)s, %(type)s, %(status)s, now() - %(n)s * interval '1 hour' - interval '1 minute',
                 jsonb_build_object('error', 'e' || %(n)s %% 3))""",
            columns,
        )
    ends = [(None, None), (NOW - timedelta(hours=6), NOW - timedelta(hours=2))]
    for type_, owner, status, error, (since, until) in itertools.product(
        [None, "a"], [None, *owners], [None, *STATUSES], [None, "E1"], ends
    ):
        if error and status == "completed":
            continue
        given = {"type": type_, "tenant": owner, "status": status, "error": error, "since": since, "until": until}
        plain = operator.execute(
            """SELECT id::text FROM job_queue
               WHERE (%(type)s::text IS NULL OR type = %(type)s)
                 AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s)
                 AND (%(status)s::text IS NULL OR status::text = %(status)s)
                 AND (%(error)s::text IS NULL OR result ->> 'error' = lower(%(error)s) AND status <> 'completed')
                 AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
                 AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)""",
            given,
        ).fetchall()
        assert {job.id for job in list_jobs(operator, JobFilter(**given)).jobs} == {id_ for (id_,) in plain}, given


def test_a_list_says_what_it_left_out(jobs, operator, monkeypatch):
    listing = list_jobs(operator, JobFilter(type="mail"), limit=2)
    assert (len(listing.jobs), listing.has_more, listing.cuts) == (2, True, ())
    monkeypatch.setattr(select, "LOOK", 1)
    listing = list_jobs(operator, JobFilter(type="mail", status="failed"))
    assert (len(listing.jobs), listing.has_more) == (1, False)
    (cut,) = listing.cuts
    assert (cut.status, cut.back_to) == ("failed", listing.jobs[0].created_at)
    older = list_jobs(operator, JobFilter.of({"status": "failed", "until": cut.back_to}, NOW))
    assert [job.type for job in older.jobs] == ["video"]


def test_a_job_without_a_time_of_creation_is_found_by_its_tenant(enqueue, tenant, found, jobs):
    for moment in (None, "infinity", "-infinity"):
        enqueue("odd", jobs["mine"], created_at=moment, next_retry_at=moment)
    assert len(found(tenant=str(jobs["mine"]), type="odd")) == 3
    assert len(found(type="odd", status="pending")) == 3
    assert found(type="odd", status="completed") == []


def test_show_has_everything_but_the_payload_unless_it_is_asked_for(operator, enqueue, tenant):
    exact = {"n": 12345678901234567890, "text": "\N{SNOWMAN}"}
    id_ = enqueue("mail", tenant(), exact, result='{"error": {"type": "T", "message": "m"}, "n": 1.10}', worker_id="w")
    hidden = show_job(operator, id_)
    assert (hidden.payload, hidden.payload_bytes) == (None, 0)
    assert hidden.result == '{"n": 1.10, "error": {"type": "T", "message": "m"}}'
    shown = show_job(operator, id_, with_payload=True).to_json()
    assert json.loads(shown["payload"]) == exact
    assert (shown["type"], shown["worker_id"], shown["error_type"], shown["error_message"]) == ("mail", "w", "T", "m")
    json.dumps(shown)
    assert show_job(operator, uuid4()) is None


@pytest.mark.parametrize("digits", [131_000, 900], ids=["explodes", "large"])
def test_contents_that_would_flood_a_terminal_are_not_read(operator, connect, enqueue, tenant, digits):
    id_ = enqueue("mail", tenant())
    connect().execute(
        "UPDATE job_queue SET payload = jsonb_build_array(1e1::numeric ^ %s, repeat('x', 2000000)), "
        "result = jsonb_build_object('error', jsonb_build_object('message', 1e1::numeric ^ %s)) WHERE id = %s",
        [digits, digits, id_],
    )
    shown = show_job(operator, id_, with_payload=True)
    assert shown.payload is None
    assert shown.payload_bytes > 2_000_000
    assert len(shown.line.error_message) == 300
    assert (shown.result is None) == (digits == 131_000)


def test_a_statement_that_takes_too_long_is_ended_and_names_filters(operator, connect, jobs):
    connect(autocommit=False).execute("LOCK TABLE job_queue")
    with pytest.raises(TooSlow, match="name more of --tenant"):
        list_jobs(operator, JobFilter(type="mail"), seconds=0.1)


def test_a_question_changes_nothing_even_if_it_tried(operator, jobs):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        rows(operator, "run_now", {"ids": [jobs["later"]], "type": None, "tenant": None})


def codes(answer):
    assert {reason.code for reason in answer.reasons} <= set(CODES)
    json.dumps(answer.to_json())
    return [reason.code for reason in answer.reasons]


def test_why_says_what_became_of_jobs_that_do_not_wait(operator, jobs, expire, enqueue):
    assert codes(why(operator, jobs["done"])) == ["Completed"]
    failed = why(operator, jobs["boom"])
    assert codes(failed) == ["Failed"]
    assert failed.reasons[0].text.endswith("in attempt 5 with Boom: No Space.")
    assert codes(why(operator, jobs["running"])) == ["LeaseExpired"]
    ours = {"status": "processing", "next_retry_at": datetime.now(UTC) + timedelta(minutes=5)}
    assert codes(why(operator, enqueue("video", jobs["mine"], worker_id="jobtide:p:2", **ours))) == ["Running"]
    assert codes(why(operator, enqueue("video", jobs["mine"], worker_id="theirs", **ours))) == ["HeldByAnother"]
    assert why(operator, uuid4()) is None


def test_why_says_when_a_job_is_due(operator, jobs, enqueue):
    in_an_hour = enqueue("mail", jobs["other"], next_retry_at=datetime.now(UTC) + timedelta(minutes=60.5))
    later = why(operator, in_an_hour).reasons[0]
    assert later.code == "NotDue"
    assert "in 60 m" in later.text or "in 59 m" in later.text
    never = why(operator, enqueue("mail", jobs["mine"], next_retry_at="infinity"))
    assert never.reasons[0].text == "It is due never."
    error = '{"error": {"type": "Boom", "message": "full"}}'
    retried = enqueue("mail", jobs["mine"], attempts=2, result=error, next_retry_at=NOW + timedelta(days=3))
    assert why(operator, retried).reasons[0].text.endswith("; attempt 2 ended with Boom: full.")


def test_why_counts_the_jobs_before_it_and_those_of_its_tenant_that_run(operator, jobs, enqueue):
    first = [enqueue("mail", jobs["other"], created_at=NOW - timedelta(hours=3)) for _ in range(3)]
    last = enqueue("mail", jobs["other"], created_at=NOW - timedelta(hours=1))
    answer = why(operator, last)
    assert (answer.ahead, answer.tenant_running, answer.type_running) == (3, 0, 0)
    assert codes(answer) == ["BehindTenant", "NothingRuns"]
    assert answer.reasons[0].text == "Before it in its tenant and type: 3 jobs."
    places = sorted(why(operator, id_).ahead for id_ in first)
    assert places == [0, 1, 2]
    assert codes(why(operator, jobs["waiting"])) == ["NothingRuns"]


def pool(**facts):
    return PoolFacts("media/thumbs", ("mail", "video"), **facts)


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        ([], ["UnservedType", "NothingRuns"]),
        ([PoolFacts("media/other", ("export",))], ["UnservedType", "NothingRuns"]),
        ([pool(ready=1)], ["Next"]),
        ([pool(ready=0, desired=3)], ["NoWorkers", "Next"]),
        ([pool(ready=0, desired=3, troubles=("ImagePullBackOff: no such image",))], ["PodsNotStarting", "Next"]),
        ([pool(paused="until 03:00", ready=0)], ["Paused", "Next"]),
        ([pool(pinned=2, ready=2)], ["Pinned", "Next"]),
        ([pool(limit="at maxReplicas 40", ready=40)], ["PoolAtLimit", "Next"]),
        ([pool(tenant_cap=1, ready=1)], ["TenantAtCap", "Next"]),
        ([pool(tenant_cap=2, ready=1)], ["Next"]),
        ([pool(tenant_cap=1), pool()], ["Next"]),
    ],
    ids=str,
)
def test_why_adds_what_the_controller_knows_of_the_pools(operator, jobs, pools, expected):
    """The tenant's one running job has another type of the same pool: it counts for the cap."""
    assert codes(why(operator, jobs["waiting"], pools)) == expected


def test_an_override_of_the_cap_comes_before_the_pools_own(operator, jobs):
    facts = pool(tenant_cap=100, ready=1, tenant_cap_overrides={str(jobs["mine"]): 1})
    answer = why(operator, jobs["waiting"], [facts])
    assert answer.reasons[0].text == "Its tenant runs 1 of at most 1 jobs at once."
    assert (answer.tenant_cap, answer.tenant_running) == (1, 1)


def test_a_limit_of_zero_is_a_pause(operator, jobs):
    facts = pool(tenant_cap=100, ready=1, tenant_cap_overrides={str(jobs["mine"]): 0})
    assert why(operator, jobs["waiting"], [facts]).reasons[0].text == "Its tenant is paused: its limit is 0."


@pytest.fixture
def store(connect):
    """store("media/thumbs", cap, {tenant: (max_concurrent, until)}): limits as the controller stores them."""
    connection = connect()

    def put(pool, cap=None, limits=(), type_=""):
        connection.execute(
            "INSERT INTO jobtide_pool_limits (pool, max_concurrent, types) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [pool, cap, [type_]],
        )
        for owner, (most, until) in dict(limits).items():
            connection.execute(
                "INSERT INTO jobtide_tenant_limits (pool, tenant_id, type, max_concurrent, until) "
                "VALUES (%s, %s, %s, %s, coalesce(%s::timestamptz, 'infinity'))",
                [pool, owner, type_, most, until],
            )

    return put


END = "2200-01-01T00:00:00Z"
PAUSED_BY_VIEW = "Its tenant is paused: its limit is 0, until 2200-01-01T00:00:00.000000Z."


@pytest.mark.parametrize("facts", [None, [pool(ready=1, tenant_cap=100)]], ids=["without pools", "with pools"])
@pytest.mark.parametrize(
    ("own", "view", "reason"),
    [
        pytest.param((None, None), (0, END), PAUSED_BY_VIEW, id="the view pauses it"),
        pytest.param((0, None), None, "Its tenant is paused: its limit is 0.", id="the pool pauses it"),
        pytest.param((1, None), (0, END), "Its tenant runs 1 of at most 1 jobs at once.", id="the pool's own first"),
        pytest.param((0, "2001-01-01T00:00:00Z"), (9, None), None, id="a pause that is over"),
        pytest.param((9, None), (0, None), None, id="the pool lets it run"),
    ],
)
def test_the_limits_are_those_that_claims_read(operator, jobs, enqueue, store, own, view, reason, facts):
    """The spec of the pool says 100, and no status shows the tenant."""
    waiting = enqueue("video", jobs["mine"])
    store("media/thumbs", 100, {jobs["mine"]: own})
    store("", None, {} if view is None else {jobs["mine"]: view})
    found = [one.text for one in why(operator, waiting, facts).reasons if one.code == "TenantAtCap"]
    assert found == ([] if reason is None else [reason])


@pytest.mark.parametrize("facts", [None, [pool(ready=1)]], ids=["without pools", "with pools"])
@pytest.mark.parametrize(
    ("most", "reason"),
    [
        (0, "Its tenant is paused for type video: its limit is 0, until 2200-01-01T00:00:00.000000Z."),
        (1, "Its tenant runs 1 of at most 1 jobs of type video at once, until 2200-01-01T00:00:00.000000Z."),
    ],
)
def test_a_limit_of_its_type_holds_the_job_and_no_job_of_another_type(
    operator, jobs, enqueue, store, most, reason, facts
):
    store("media/thumbs")
    store("", None, {jobs["mine"]: (most, END)}, type_="video")
    assert reason in [one.text for one in why(operator, enqueue("video", jobs["mine"]), facts).reasons]
    assert "TenantAtCap" not in codes(why(operator, jobs["waiting"], facts))


def test_a_tenant_is_not_paused_while_one_pool_may_run_its_job(operator, jobs, store):
    store("media/thumbs", None, {jobs["mine"]: (0, None)})
    store("media/more")
    both = [pool(ready=1), PoolFacts("media/more", ("mail",), ready=1)]
    assert codes(why(operator, jobs["waiting"], both)) == ["Next"]
    assert codes(why(operator, jobs["waiting"], both[:1])) == ["TenantAtCap", "Next"]


def test_without_tables_for_limits_those_of_the_pools_hold(operator, jobs, connect):
    connect().execute("DROP TABLE jobtide_tenant_limits, jobtide_pool_limits")
    assert codes(why(operator, jobs["waiting"], [pool(ready=1, tenant_cap=1)])) == ["TenantAtCap", "Next"]
    assert codes(why(operator, jobs["waiting"])) == ["NothingRuns"]


@pytest.mark.parametrize("status", ["failed", "pending", "processing"])
@pytest.mark.parametrize("error", ['{"type": %s, "message": %s}', '{"message": "", "more": %s}', "%s"])
def test_an_error_of_a_gigabyte_hides_no_other_job(operator, enqueue, tenant, status, error):
    """A few kilobytes of jsonb: each number has 131,072 digits as text."""
    numbers = f"[{','.join(['1e131071'] * 9_000)}]"
    owner = tenant()
    hostile = enqueue("t", owner, status=status, result=f'{{"error": {error.replace("%s", numbers)}}}')
    plain = enqueue("t", owner, status=status, result='{"error": {"type": "Boom", "message": "disk full"}}')
    assert len(list_jobs(operator, JobFilter()).jobs) == 2
    for which in (JobFilter(error="full"), JobFilter(error="full", tenant=owner), JobFilter(error="full", type="t")):
        assert [job.id for job in list_jobs(operator, which).jobs] == [str(plain)]
    assert show_job(operator, hostile).result is None
    assert why(operator, hostile) is not None


def test_a_search_for_an_error_finds_its_own_words_whatever_the_locale_of_the_database_is(server):
    """In the locale C the server makes no É a small one, and Python's "İ" becomes two characters."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE locale_c TEMPLATE template0 LOCALE 'C' ENCODING 'UTF8'")
        try:
            apply(server.url("locale_c"), roles=True)
            with psycopg.connect(server.url("locale_c"), autocommit=True) as connection:
                connection.execute(
                    "WITH one AS (INSERT INTO tenants (name) VALUES ('x') RETURNING id) "
                    "INSERT INTO job_queue (tenant_id, type, status, result) "
                    """SELECT id, 't', 'failed', '{"error": {"message": "Échec à İzmir"}}' FROM one"""
                )
            with operator_connection(server.url("locale_c")) as connection:
                found = [
                    len(list_jobs(connection, JobFilter(error=words)).jobs) for words in ("Échec", "İzmir", "ZMIR")
                ]
        finally:
            admin.execute("DROP DATABASE locale_c WITH (FORCE)")
    assert found == [1, 1, 1]


@pytest.mark.parametrize(
    ("happens", "code"),
    [("UPDATE job_queue SET status = 'completed', completed_at = now()", "Completed"), ("DELETE FROM job_queue", None)],
)
def test_why_of_a_job_that_ends_or_goes_at_that_moment(operator, enqueue, tenant, connect, monkeypatch, happens, code):
    id_ = enqueue("t", tenant())
    changes = connect()

    def late(connection, name, *arguments, **options):
        changes.execute(happens)
        return rows(connection, name, *arguments, **options)

    monkeypatch.setattr(why_module, "rows", late)
    found = why(operator, id_)
    assert (found and found.reasons[0].code) == code


def test_a_list_does_not_claim_to_have_looked_at_all_jobs_of_the_moment_where_it_ended(
    operator, enqueue, tenant, monkeypatch
):
    """A bulk insert gives thousands of jobs one time of creation."""
    monkeypatch.setattr(select, "LOOK", 10)
    at = NOW - timedelta(hours=1)
    for _ in range(30):
        enqueue("t", tenant(), created_at=at, status="completed", completed_at=NOW)
    (cut,) = list_jobs(operator, JobFilter(type="absent")).cuts
    assert datetime.fromisoformat(cut.back_to) == at
    assert "created after" in next(_hints(list_jobs(operator, JobFilter(type="absent")), 50))
