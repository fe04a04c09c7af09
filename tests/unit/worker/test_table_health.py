"""What the health of the table means, in words that seldom change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide.table_health import Holder, SnapshotAges, TableHealth, age_words, end_holder, judge, rows_words

HOUR, DAY = 3_600.0, 86_400.0
WELL = TableHealth(2**20, live_rows=1_000, dead_rows=60, vacuum_age_seconds=60.0, vacuum_at_rows=250,
                   switched_off=None, holders=())  # fmt: skip


def session(seconds, name="77", transactions=5):
    return Holder("session", name, "733", transactions, seconds)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, "Healthy", id="nothing"),
        pytest.param({"holders": (session(899.0),)}, "Healthy", id="a report of some minutes"),
        pytest.param({"holders": (session(900.0),)}, "OldSnapshot", id="one of 15 minutes"),
        pytest.param({"holders": (session(None),)}, "Healthy", id="a snapshot of unknown age"),
        pytest.param({"holders": (session(5.0), Holder("slot", "s", "9", 2, HOUR))}, "OldSnapshot", id="slot"),
        pytest.param({"dead_rows": 99_999, "vacuum_age_seconds": HOUR}, "Healthy", id="few dead rows"),
        pytest.param({"dead_rows": 100_000, "vacuum_age_seconds": HOUR}, "DeadRows", id="many dead rows"),
        pytest.param({"dead_rows": 100_000, "vacuum_age_seconds": None}, "DeadRows", id="never vacuumed"),
        pytest.param({"dead_rows": 900_000, "vacuum_age_seconds": 30.0}, "Healthy", id="a busy minute"),
        pytest.param({"dead_rows": 900_000, "vacuum_age_seconds": HOUR, "vacuum_at_rows": 450_001}, "Healthy",
                     id="autovacuum starts later"),
        pytest.param({"dead_rows": None, "vacuum_age_seconds": None}, "Healthy", id="statistics lost"),
        pytest.param({"switched_off": "autovacuum", "vacuum_age_seconds": HOUR}, "Healthy", id="vacuumed by hand"),
        pytest.param({"switched_off": "autovacuum", "vacuum_age_seconds": DAY}, "AutovacuumOff", id="off for a day"),
        pytest.param({"switched_off": "track_counts", "vacuum_age_seconds": None, "dead_rows": None}, "AutovacuumOff",
                     id="nothing counted"),
        pytest.param({"switched_off": "autovacuum_enabled", "vacuum_age_seconds": HOUR, "dead_rows": 100_000,
                      "holders": (session(DAY),)}, "AutovacuumOff", id="the cause before its effects"),
        pytest.param({"dead_rows": 10**6, "vacuum_age_seconds": HOUR, "holders": (session(DAY),)}, "OldSnapshot",
                     id="a vacuum would remove nothing"),
    ],
)  # fmt: skip
def test_the_reason(changes, reason):
    assert judge(replace(WELL, **changes)).reason == reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"holders": (session(5 * HOUR),), "dead_rows": 350_000},
         ["more than 4 hours", "more than 300,000 now", "pg_stat_activity"]),
        ({"holders": (Holder("prepared", "it's", "1", 2, DAY),)}, ["ROLLBACK PREPARED 'it''s'"]),
        ({"holders": (Holder("slot", "old", "1", 2, DAY),)}, ["more than a day", "pg_drop_replication_slot('old')"]),
        ({"dead_rows": 1_234_567, "vacuum_age_seconds": HOUR, "vacuum_at_rows": 123_456},
         ["more than 1,000,000 dead rows", "more than an hour ago", "starts at 120,000", "VACUUM job_queue"]),
        ({"switched_off": "autovacuum_enabled", "vacuum_age_seconds": None},
         ["for this table", "never vacuumed", "RESET (autovacuum_enabled)"]),
        ({"switched_off": "autovacuum", "vacuum_age_seconds": None}, ["on this server", "ALTER SYSTEM"]),
    ],
    ids=["session", "prepared", "slot", "dead rows", "off for the table", "off on the server"],
)  # fmt: skip
def test_the_message_has_the_numbers_and_what_to_do(changes, words):
    message = judge(replace(WELL, **changes)).message
    assert [word for word in words if word not in message] == []


def test_a_message_is_equal_while_only_its_numbers_move_a_little():
    one = replace(WELL, dead_rows=310_000, holders=(session(2 * HOUR, "77"),))
    later = replace(WELL, dead_rows=720_000, holders=(session(3 * HOUR, "78"),))
    assert judge(one) == judge(later)


@pytest.mark.parametrize("changes", [{"holders": (session(2 * HOUR),)},
                                     {"switched_off": "autovacuum", "vacuum_age_seconds": None}],
                         ids=["old snapshot", "off"])  # fmt: skip
def test_a_message_is_equal_while_the_server_loses_the_count_of_few_dead_rows_and_finds_it_again(changes):
    found = [judge(replace(WELL, dead_rows=rows, **changes)) for rows in (0, None, 99_999)]
    assert found[0] == found[1] == found[2]
    assert found[0] != judge(replace(WELL, dead_rows=100_000, **changes))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (100_000, "more than 100,000"),
        (999_999, "more than 300,000"),
        (7 * 10**8, "more than 300,000,000"),
    ],
)
def test_rows_in_words(rows, words):
    assert rows_words(rows) == words


@pytest.mark.parametrize(("seconds", "words"), [(5, "less than 10 minutes"), (900, "more than 15 minutes"),
                                                (8 * DAY, "more than a week"), (1e9, "more than 30 days")])  # fmt: skip
def test_ages_in_words(seconds, words):
    assert age_words(seconds) == words


def test_a_holder_is_as_old_as_it_has_been_seen_if_the_server_does_not_say_more():
    ages = SnapshotAges()
    hidden, known = session(None), session(500.0, "78")
    assert ages.aged(replace(WELL, holders=(hidden, known)), 10.0).oldest_seconds == 500.0
    later = ages.aged(replace(WELL, holders=(hidden, known)), 1_000.0)
    assert [one.seconds for one in later.holders] == [990.0, 990.0]
    assert ages.aged(WELL, 1_030.0).oldest_seconds == 0.0
    assert ages.aged(replace(WELL, holders=(hidden,)), 1_060.0).oldest_seconds == 0.0, "another one with its number"


def test_a_standby_of_a_server_at_rest_is_not_old():
    """It sends the next transaction as the oldest that its readers see, for as long as none begins."""
    ages = SnapshotAges()
    for now in (10.0, 9_010.0):
        assert ages.aged(replace(WELL, holders=(session(None, transactions=0),)), now).oldest_seconds == 0.0
    assert ages.aged(replace(WELL, holders=(session(None, transactions=1),)), 9_040.0).oldest_seconds == 30.0


def test_a_snapshot_of_unknown_age_is_not_of_age_zero():
    assert replace(WELL, holders=(session(None),)).oldest_seconds is None


def test_a_name_that_a_client_chose_moves_no_cursor():
    found = judge(replace(WELL, holders=(Holder("prepared", "a\x1b[2J", "1", 2, DAY),)))
    assert found.message.isprintable()
    assert "a\\x1b[2J" in found.message


def test_the_end_of_a_session_names_its_process():
    assert end_holder(session(1.0, "4711")) == "SELECT pg_terminate_backend(4711)"
