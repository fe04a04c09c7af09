"""The pure part of reading a database: arrivals, errors as reasons, URLs, slices of a reading."""

from __future__ import annotations

import psycopg
import pytest

from jobtide.database_errors import DatabaseUrlWrong
from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading, UnreadableReason, slices
from jobtide_controller.postgres.arrivals import WINDOW_SECONDS, Arrivals, Seen
from jobtide_controller.postgres.read_failure import classify
from jobtide_controller.postgres.urls import DatabaseUrls, NotConfiguredError

A = Key("a", "t")


@pytest.mark.parametrize(
    ("overlap_before", "seen", "arrived"),
    [
        pytest.param(0, Seen(new=3), 3, id="all new"),
        pytest.param(4, Seen(new=3, again=4), 3, id="nothing late"),
        pytest.param(4, Seen(new=3, again=6), 5, id="two committed late"),
        pytest.param(4, Seen(new=3, again=1), 3, id="old rows were deleted"),
        pytest.param(0, Seen(), 0, id="nothing"),
    ],
)
def test_a_row_arrives_once_even_if_it_commits_late(overlap_before, seen, arrived):
    assert Arrivals(100.0, {A: overlap_before}).count(A, seen) == arrived


def test_after_a_long_outage_counting_restarts():
    assert Arrivals(100.0).previous_at(WINDOW_SECONDS) == 100.0
    assert Arrivals(100.0).previous_at(WINDOW_SECONDS + 1) is None
    assert Arrivals().previous_at(0.0) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('connection to server at "pg" failed: Connection refused', UnreadableReason.UNREACHABLE),
        ('could not translate host name "pg" to address', UnreadableReason.UNREACHABLE),
        ('FATAL:  password authentication failed for user "x"', UnreadableReason.AUTH_FAILED),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x", SSL encryption', UnreadableReason.AUTH_FAILED),
        ('FATAL:  role "x" does not exist', UnreadableReason.AUTH_FAILED),
        ("fe_sendauth: no password supplied", UnreadableReason.AUTH_FAILED),
        ("FATAL:  sorry, too many clients already", UnreadableReason.TOO_MANY_CONNECTIONS),
        ("FATAL:  remaining connection slots are reserved for roles", UnreadableReason.TOO_MANY_CONNECTIONS),
        ('FATAL:  too many connections for role "x"', UnreadableReason.TOO_MANY_CONNECTIONS),
        ("FATAL:  no more connections allowed (max_client_conn)", UnreadableReason.TOO_MANY_CONNECTIONS),
        ("server does not support SSL, but SSL was required", UnreadableReason.TLS_FAILED),
        ("SSL error: certificate verify failed", UnreadableReason.TLS_FAILED),
        ('root certificate file "/ca.crt" does not exist', UnreadableReason.TLS_FAILED),
        ('FATAL:  permission denied for database "x"', UnreadableReason.GRANT_MISSING),
        ("FATAL:  query_wait_timeout", UnreadableReason.TIMEOUT),
    ],
)
def test_a_refused_connection_is_classified_by_its_message(message, reason):
    assert classify(psycopg.OperationalError(message)) is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.errors.UndefinedTable(), UnreadableReason.TABLE_MISSING),
        (psycopg.errors.InsufficientPrivilege(), UnreadableReason.GRANT_MISSING),
        (psycopg.errors.QueryCanceled(), UnreadableReason.TIMEOUT),
        (psycopg.errors.UndefinedColumn(), UnreadableReason.SCHEMA_WRONG),
        (psycopg.errors.AdminShutdown(), UnreadableReason.UNREACHABLE),
        (psycopg.errors.CannotConnectNow(), UnreadableReason.UNREACHABLE),
        (psycopg.errors.TooManyConnections(), UnreadableReason.TOO_MANY_CONNECTIONS),
        (psycopg.errors.InvalidPassword(), UnreadableReason.AUTH_FAILED),
        (psycopg.errors.DivisionByZero(), UnreadableReason.QUERY_FAILED),
        (psycopg.InterfaceError("odd"), UnreadableReason.QUERY_FAILED),
        (TimeoutError(), UnreadableReason.TIMEOUT),
        (ConnectionResetError("reset"), UnreadableReason.UNREACHABLE),
        (NotConfiguredError("no"), UnreadableReason.NOT_CONFIGURED),
        (DatabaseUrlWrong("no"), UnreadableReason.NOT_CONFIGURED),
    ],
    ids=lambda value: getattr(value, "name", None) or type(value).__name__,
)
def test_an_error_of_a_statement_is_classified_by_its_code(error, reason):
    assert classify(error) is reason


class TestUrls:
    def test_a_folder_without_a_url_is_no_database(self, tmp_path):
        (tmp_path / "main").mkdir()
        (tmp_path / "main" / "url").write_text(" postgresql://pg/x\n")
        (tmp_path / "empty").mkdir()
        urls = DatabaseUrls(tmp_path)
        assert urls.names() == ["main"]
        assert urls.url("main") == "postgresql://pg/x"

    def test_an_unknown_name_raises_with_the_next_step(self, tmp_path):
        with pytest.raises(NotConfiguredError, match=r'"crm"; add it.*delete the pool and create'):
            DatabaseUrls(tmp_path).url("crm")

    def test_without_a_folder_there_is_no_database(self, tmp_path):
        assert DatabaseUrls(tmp_path / "nothing").names() == []

    def test_an_empty_file_is_reported(self, tmp_path):
        (tmp_path / "main").mkdir()
        (tmp_path / "main" / "url").write_text("\n")
        with pytest.raises(DatabaseUrlWrong, match="empty"):
            DatabaseUrls(tmp_path).url("main")

    def test_a_file_that_is_not_utf8_is_reported_without_its_bytes(self, tmp_path):
        (tmp_path / "main").mkdir()
        (tmp_path / "main" / "url").write_bytes(b"postgresql://me:s3\xffcret@pg/x")
        with pytest.raises(DatabaseUrlWrong, match=r"is not text in UTF-8") as wrong:
            DatabaseUrls(tmp_path).url("main")
        assert "s3" not in str(wrong.value).replace(str(tmp_path), "")

    def test_the_swap_of_a_mounted_secret_is_followed(self, tmp_path):
        folder = tmp_path / "main"
        for number in (1, 2):
            (folder / f"..{number}").mkdir(parents=True)
            (folder / f"..{number}" / "url").write_text(f"postgresql://pg/{number}")
        (folder / "..data").symlink_to("..1")
        (folder / "url").symlink_to("..data/url")
        urls = DatabaseUrls(tmp_path)
        assert urls.url("main").endswith("/1")
        (folder / "..new").symlink_to("..2")
        (folder / "..new").rename(folder / "..data")
        assert urls.url("main").endswith("/2")


def test_a_reading_is_split_by_type():
    depths = {Key("a", "t"): Depth(due=1), Key("b", "t"): Depth(due=2), Key("c", "t"): Depth(due=3)}
    pods = {"p": PodRun({Key("a", "t"): 1, Key("b", "t"): 4})}
    pools = {"a": {"x"}, "b": {"x", "y"}, "c": set()}
    parts = slices(Reading(7.0, depths, pods, 0.1), lambda type_: pools[type_])
    assert {key.type for key in parts.of("x").depths} == {"a", "b"}
    assert parts.of("x").pods["p"].jobs == 5
    assert parts.of("y").pods["p"].jobs == 4
    assert parts.of("z") is parts.empty
    assert (parts.empty.taken_at, parts.of("y").taken_at, parts.of("y").query_seconds) == (7.0, 7.0, 0.1)


def test_a_slice_is_the_reading_without_the_other_pools_types():
    depths = {Key("a", "t"): Depth(due=1, running=1), Key("b", "u"): Depth(running=4)}
    pods = {"p": PodRun({Key("a", "t"): 1}), "q": PodRun({Key("a", "t"): 2, Key("b", "u"): 4})}
    expected = Reading(7.0, {Key("b", "u"): Depth(running=4)}, {"q": PodRun({Key("b", "u"): 4})}, 0.1)
    assert slices(Reading(7.0, depths, pods, 0.1), lambda type_: {type_}).of("b") == expected
