"""A database without a URL costs no thread: pools may name any, and each namespace reads only the names it may use."""

from __future__ import annotations

import threading

from dev.machine.wait import wait_until
from jobtide_controller.decide.reading import UnreadableReason
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from jobtide_controller.postgres.urls import DatabaseUrls

CLOSED_PORT = "postgresql://127.0.0.1:1/x"


def threads():
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("postgres-"))


def configure(folder, name):
    (folder / name).mkdir()
    (folder / name / "url").write_text(CLOSED_PORT)


async def test_five_hundred_names_that_are_not_configured_cost_no_thread(tmp_path):
    databases = [Database(f"none-{number}", DatabaseUrls(tmp_path), Limits()) for number in range(500)]
    answers = [await database.read(["a"], {}) for database in databases]
    assert {answer.reason for answer in answers} == {UnreadableReason.NOT_CONFIGURED}
    assert threads() == []
    for database in databases:
        database.close()


async def test_the_thread_lives_as_long_as_the_database_is_configured(tmp_path):
    database = Database("late", DatabaseUrls(tmp_path), Limits())
    for _ in range(2):
        assert (await database.read(["a"], {})).reason is UnreadableReason.NOT_CONFIGURED
        configure(tmp_path, "late")
        assert (await database.read(["a"], {})).reason is UnreadableReason.UNREACHABLE
        assert threads() == ["postgres-late"]
        (tmp_path / "late" / "url").unlink()
        (tmp_path / "late").rmdir()
        assert (await database.read(["a"], {})).reason is UnreadableReason.NOT_CONFIGURED
        wait_until("the end of the thread", lambda: not threads(), within_seconds=5)
    database.close()


async def test_all_failures_of_a_name_that_is_not_configured_have_the_same_beginning(tmp_path):
    database = Database("none", DatabaseUrls(tmp_path), Limits())
    first = await database.read(["a"], {})
    assert (await database.read(["a"], {})).since == first.since


async def test_the_message_names_no_other_database(tmp_path):
    configure(tmp_path, "payroll")
    answer = await Database("none", DatabaseUrls(tmp_path), Limits()).read(["a"], {})
    assert 'no database is called "none"' in answer.message
    assert "payroll" not in answer.message
