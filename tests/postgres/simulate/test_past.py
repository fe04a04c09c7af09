"""A trace from a real table: the jobs of the last days, read with the controller's role."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from jobtide_controller.simulate import past
from jobtide_controller.simulate.command import main
from jobtide_controller.simulate.csvfile import TraceError

FILL = """
INSERT INTO job_queue (type, tenant_id, status, payload, attempts, worker_id, created_at, completed_at)
SELECT
    'thumbs', %(tenant)s, 'completed', '{}', 1, 'jobtide:11111111-2222-3333-4444-555555555555:' || i,
    now() - interval '1 hour' + i * interval '1 s', now() - interval '1 hour' + (i * 1.0 + 2) * interval '1 s'
FROM generate_series(1, 200) AS i;
INSERT INTO job_queue (type, tenant_id, payload, created_at, next_retry_at) VALUES
    ('thumbs', %(tenant)s, '{}', now() - interval '10 s', now() + interval '60 s'),
    ('video', %(tenant)s, '{}', now() - interval '20 s', NULL),
    ('thumbs', %(tenant)s, '{}', now() - interval '30 days', NULL);
"""


@pytest.fixture
def table(database, connect, tenant) -> str:
    """URL of a table with 200 jobs of 2 s by one pod, a scheduled one, one of another type and an old one."""
    acme = str(tenant("acme"))
    connect().execute(FILL.replace("%(tenant)s", f"'{acme}'"))
    return database


def _as_role(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-c role={role}')}"


def test_the_controllers_role_reads_the_last_days_of_the_pools_types(table):
    jobs = past.read(_as_role(table, "jobtide_controller"), 7.0, ["thumbs"])
    assert (len(jobs), {job.type for job in jobs}) == (201, {"thumbs"})
    assert {job.pod for job in jobs[:200]} == {"11111111-2222-3333-4444-555555555555"}
    assert jobs[-1].due_at == pytest.approx(jobs[-1].created_at + 70.0, abs=0.01)


def test_all_types_are_read_if_none_is_named(table):
    assert {job.type for job in past.read(table, 7.0, None)} == {"thumbs", "video"}


def test_the_trace_starts_with_the_first_job_and_has_the_service_times(table):
    made = past.trace(past.read(table, 7.0, ["thumbs"]), slots=4, known={})
    assert made.jobs[0].created_at == 0.0
    assert {round(job.service_seconds, 3) for job in made.jobs} == {2.0}
    assert made.jobs[-1].due_at is not None


@pytest.mark.parametrize(
    ("days", "types", "error"),
    [
        pytest.param(7.0, ["mail"], "shows no job of the types mail of the last 7 days", id="other-types"),
        pytest.param(0.000001, None, "shows no job of the last 1e-06 days", id="too-short"),
    ],
)
def test_a_table_without_such_jobs_says_so(table, days, types, error):
    with pytest.raises(TraceError, match=error):
        past.read(table, days, types)


ENDLESS = """
INSERT INTO job_queue (type, tenant_id, status, payload, attempts, worker_id, created_at, next_retry_at, completed_at)
SELECT 'thumbs', %(tenant)s, status::job_status, '{}', attempts, worker_id, created_at, next_retry_at, completed_at
FROM (VALUES
    ('completed', 1, NULL, now(), NULL::timestamptz, now()),
    ('completed', 1, 'jobtide:aaaaaaaa-2222-3333-4444-555555555555:1', now(), NULL, 'infinity'),
    ('completed', 1, 'jobtide:aaaaaaaa-2222-3333-4444-555555555555:2', now(), NULL, '-infinity'),
    ('pending', 0, NULL, now(), 'infinity', NULL),
    ('pending', 0, NULL, now(), '-infinity', NULL),
    ('pending', 0, NULL, 'infinity', NULL, NULL),
    ('completed', 1, NULL, 'infinity', NULL, 'infinity'),
    ('pending', 0, NULL, '-infinity', NULL, NULL)
) AS row (status, attempts, worker_id, created_at, next_retry_at, completed_at)
"""


def test_rows_at_infinity_are_simulated_for_no_endless_time(table, connect, tenant, capsys):
    connect().execute(ENDLESS.replace("%(tenant)s", f"'{tenant('acme')}'"))
    jobs = past.read(table, 7.0, ["thumbs"])
    assert len(jobs) == 201 + 4  # not the one that is never due, nor those that were never created
    made = past.trace(jobs, slots=1, known={})
    assert made.seconds < 2 * 3_600
    assert max(job.service_seconds for job in made.jobs) < 60
    assert main(["--from-table", table, "--measured-concurrency", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["attempts"] == len(jobs) + 1  # and the one of another type


def test_a_missing_table_shows_the_error_of_the_server(empty_database):
    with pytest.raises(TraceError, match=r'(?s)can\'t read the jobs.*relation "job_queue" does not exist'):
        past.read(empty_database, 7.0, None)


def test_the_command_reads_the_url_from_a_file(table, tmp_path, capsys):
    (tmp_path / "url").write_text(table + "\n")
    arguments = ["--from-table", f"@{tmp_path / 'url'}", "--service-seconds", "video=9", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)[0]["attempts"] == 202
