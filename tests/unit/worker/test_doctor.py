"""The pure parts of the doctor, and kubectl that is missing or hangs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from jobtide.__main__ import main
from jobtide._version import __version__
from jobtide.doctor import cluster
from jobtide.doctor.findings import guarded
from jobtide.doctor.session import limit_finding, skew_finding
from jobtide.doctor.table import table_findings
from jobtide.doctor.url import advice, is_remote, url_findings
from jobtide.table_health import Holder, TableHealth

WELL = TableHealth(2 * 2**20, 1_000, 60, 7_200.0, 2_000, None, ())


def lines(findings):
    return [(one.check, one.level, one.text) for one in findings]


def test_a_url_is_shown_without_its_password():
    assert lines(url_findings("postgresql://app:geheim@db:6432/jobs?sslmode=require")) == [
        ("url", "ok", "app@db:6432/jobs")
    ]


@pytest.mark.parametrize(
    ("url", "level", "words"),
    [
        ("postgresql://postgres:x@aws-0.pooler.supabase.com:5432/postgres", "warning", "ROLE.PROJECT_REF"),
        ("postgresql://postgres.abc:x@aws-0.pooler.supabase.com:6543/postgres", "note", "transaction mode"),
    ],
    ids=["no project", "transaction mode"],
)
def test_what_is_known_of_a_supabase_url(url, level, words):
    (_, found) = url_findings(url)
    assert found.level == level
    assert words in found.text


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("postgresql://a@localhost/b", False),
        ("postgresql:///b", False),
        ("postgresql://%2Fvar%2Frun/b", False),
        ("postgresql://a@db.example.com/b", True),
        ("postgresql://a@localhost,db/b", True),
    ],
)
def test_whether_a_server_is_another_machine(url, remote):
    assert is_remote(url) == remote


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("FATAL: Tenant or user not found", "ROLE.PROJECT_REF"),
        ('FATAL: no pg_hba.conf entry for host "1.2.3.4", user "a", no encryption', "pg_hba.conf"),
        ("SSL error: certificate verify failed", "sslrootcert"),
        ("FATAL: sorry, too many clients already", "max_connections"),
        ('FATAL: too many connections for role "media"', "ALTER ROLE ... CONNECTION LIMIT"),
        ('FATAL: too many connections for database "app"', "ALTER DATABASE ... CONNECTION LIMIT"),
        ("Network is unreachable", "IPv6"),
        ("connection timeout expired", "NetworkPolicies"),
        ("received invalid response to SSL negotiation: H", "something else than PostgreSQL"),
    ],
)
def test_what_to_do_about_a_connection_that_failed(message, words):
    assert words in advice(message)


def test_the_health_of_a_table_in_lines():
    assert lines(table_findings(WELL)) == [
        ("snapshot", "ok", "nothing holds vacuum back"),
        ("dead rows", "ok", "60 dead, 1,000 live, 2.0 MiB with indexes"),
        ("autovacuum", "ok", "on, from 2,000 dead rows on; last vacuumed 2h ago"),
    ]


def test_an_old_snapshot_is_a_warning_with_its_session_and_the_message_of_the_condition():
    old = replace(WELL, holders=(Holder("session", "77", "9", 4_000, 7_200.0, "role app"),))
    (found, *_) = table_findings(old)
    assert found.level == "warning"
    assert found.text.startswith("the oldest is 2h old, of session 77 (role app); a transaction has held a snapshot")


@pytest.mark.parametrize(
    ("server", "level", "words"),
    [
        (100.5, "ok", "agree"),
        (104.0, "warning", "3.0 s ahead of"),
        (97.5, "warning", "2.5 s behind"),
        (98.5, "ok", "agree"),
    ],
)
def test_clocks_differ_by_what_the_way_of_the_answer_does_not_explain(server, level, words):
    found = skew_finding(100.0, server, 101.0)
    assert (found.level, words in found.text) == (level, True)


@pytest.mark.parametrize(
    ("part", "used", "most", "pooled", "level"),
    [
        pytest.param("worker", 1, 1, False, "error", id="no worker can end a job"),
        pytest.param("worker", 1, 2, False, "warning", id="a worker lacks the one that it needs at times"),
        pytest.param("worker", 2, 3, False, "ok", id="enough for one"),
        pytest.param("worker", 18, 20, False, "warning", id="almost all are in use"),
        pytest.param("controller", 1, 1, False, "warning", id="the controller can read"),
        pytest.param("controller", 0, 0, False, "error", id="no session at all"),
        pytest.param("worker", 1, 1, True, "ok", id="a pooler shares it"),
    ],
)
def test_a_limit_of_connections_is_judged_by_what_one_worker_or_the_controller_needs(part, used, most, pooled, level):
    limit = {"name": '"media-worker"', "used": used, "most": most}
    found = limit_finding("role", limit, part, pooled=pooled)
    assert (found.check, found.level) == ("connections", level)
    assert ('ALTER ROLE "media-worker" CONNECTION LIMIT' in found.text) == (level != "ok")


@pytest.mark.parametrize(("transactions", "level"), [(999, "ok"), (1_000, "note")])
def test_a_snapshot_of_unknown_age_is_a_note_if_much_has_happened_since(transactions, level):
    hidden = replace(WELL, holders=(Holder("session", "77", "9", transactions, None),))
    (found, *_) = table_findings(hidden)
    assert (found.level, "pg_terminate_backend(77)" in found.text) == (level, True)


def test_unknown_rows_are_not_zero():
    found = table_findings(replace(WELL, live_rows=None, dead_rows=None))
    assert [(one.check, one.level) for one in found if "not known" in one.text] == [("dead rows", "note")]


def test_a_bug_in_a_check_is_a_line():
    def check():
        raise ZeroDivisionError
        yield

    ((name, level, text),) = lines(guarded("clock", check))
    assert (name, level) == ("clock", "error")
    assert "please report it: ZeroDivisionError" in text


def pool(name, *conditions, **status):
    found = [
        {"type": type_, "status": value, "reason": reason, "message": "why"} for type_, value, reason in conditions
    ]
    return {"metadata": {"namespace": "media", "name": name}, "status": {"conditions": found, **status}}


def test_pools_in_trouble_come_first_and_each_cause_once():
    well = [pool(f"p{number}", ("Ready", "True", "Applied"), reason="Idle") for number in range(22)]
    bad = pool(
        "thumbs",
        ("Ready", "False", "Unreachable"),
        ("DatabaseReachable", "False", "Unreachable"),
        ("KeepingUp", "Unknown", "Unreachable"),
        ("TableHealthy", "False", "OldSnapshot"),
        ("ScalingActive", "False", "CappedByMax"),
    )
    found = lines(cluster._pools([*well, bad]))
    assert found[:3] == [
        ("pool", "error", "media/thumbs: Ready=False Unreachable: why"),
        ("pool", "warning", "media/thumbs: TableHealthy=False OldSnapshot: why"),
        ("pool", "note", "media/thumbs: ScalingActive=False CappedByMax: why"),
    ]
    assert found[3] == ("pool", "ok", "media/p0: Idle, 0 of 0 workers ready")
    assert found[-1] == ("pools", "ok", "2 more are well")
    assert len(found) == 3 + 20 + 1


def test_a_pool_without_conditions_has_no_controller():
    (found,) = cluster._pools([pool("thumbs")])
    assert (found.level, "no controller has reported" in found.text) == ("error", True)


def deployment(version, ready):
    return {
        "metadata": {"namespace": "sys", "name": "jobtide", "labels": {"app.kubernetes.io/version": version}},
        "spec": {"template": {"spec": {"containers": [{"image": "jobtide:x"}]}}},
        "status": {"readyReplicas": ready},
    }


@pytest.mark.parametrize(
    ("version", "ready", "level", "words"),
    [
        (__version__, 1, "ok", "1 ready"),
        (__version__, 0, "error", "kubectl logs deployment/jobtide --namespace sys"),
        ("0.0.9", 1, "warning", f"this doctor is {__version__}"),
    ],
    ids=["well", "not ready", "another version"],
)
def test_a_controller(version, ready, level, words):
    found = cluster._controller(deployment(version, ready))
    assert (found.level, words in found.text) == (level, True)


@pytest.mark.parametrize(
    ("wanted", "found", "difference"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, None),
        ({"a": {"b": 1}}, {"a": {}}, "it lacks a.b"),
        ({"a": {}}, {"a": {"b": 1}}, "it has a.b"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b differs"),
    ],
    ids=["equal", "older", "newer", "other"],
)
def test_the_first_difference_of_two_crds(wanted, found, difference):
    assert cluster._differences(wanted, found) == difference


def test_without_kubectl_one_line_says_so_and_how_to_leave_the_cluster_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", "--no-database"]) == 1
    (line, total) = capsys.readouterr().out.splitlines()
    assert "can't run kubectl: No such file or directory" in line
    assert "--no-cluster" in line
    assert total == "1 error"


def test_a_kubectl_that_hangs_is_given_up(monkeypatch, tmp_path, capsys):
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cluster, "KUBECTL_SECONDS", 0.2)
    assert main(["doctor", "--no-database"]) == 1
    assert "kubectl gave no answer in 0.2 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"), [("not json", "it begins with 'not json"), ("", "it is empty")], ids=["text", "nothing"]
)
def test_a_kubectl_that_answers_something_else_is_one_line(monkeypatch, tmp_path, capsys, answer, words):
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", "--no-database"]) == 1
    (line, _) = capsys.readouterr().out.splitlines()
    assert line.startswith("error    cluster      kubectl's answer is no JSON, ")
    assert words in line


def test_without_a_url_the_first_line_says_how_to_give_one(monkeypatch, capsys):
    for name in ("JOBTIDE_DATABASE_URL", "JOBTIDE_DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor", "--no-cluster"]) == 1
    assert "no database: pass --database-url or set JOBTIDE_DATABASE_URL" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = f"{sys.executable} -m jobtide doctor --no-cluster --database-url postgresql://a@127.0.0.1:1/b | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok       url          a@127.0.0.1:1/b\n", "")
