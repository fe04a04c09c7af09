from __future__ import annotations

import dataclasses
from uuid import UUID

import pytest

from dev.demo.answers import Answers
from dev.demo.verify import Verdict, judge
from dev.demo.workload import INDEX, DemoJob
from dev.stage.job_table import Row

CORPUS = {"a.py": b"import os\nprint(os.name)\n"}
ANSWERS = Answers(CORPUS)
TENANT = UUID(int=9)
VALID = DemoJob(UUID(int=1), TENANT, INDEX, {"document": "a.py"})
MALFORMED = DemoJob(UUID(int=2), TENANT, INDEX, {}, malformed="expected text")
RIGHT = Row(VALID.id, "completed", ANSWERS.of(VALID), attempts=1, accepted_ends=1, wait_seconds=0.5)
REFUSED = Row(
    MALFORMED.id,
    "failed",
    {"error": {"type": "Fail", "message": "file name None: expected text, such as a.py", "attempt": 1}},
    attempts=1,
    accepted_ends=1,
    wait_seconds=0.5,
)


def judged(*rows: Row) -> Verdict:
    return judge([VALID, MALFORMED], {row.id: row for row in rows}, ANSWERS)


def test_right_results_and_readable_failures_are_accepted() -> None:
    verdict = judged(RIGHT, REFUSED)

    assert verdict.holds
    assert (verdict.completed, verdict.failed, verdict.lost, verdict.duplicates) == (1, 1, 0, 0)


def test_a_job_that_needed_a_second_worker_is_accepted() -> None:
    assert judged(dataclasses.replace(RIGHT, attempts=2), REFUSED).holds


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([REFUSED], "its row is missing", id="a row is missing"),
        pytest.param(
            [dataclasses.replace(RIGHT, status="processing"), REFUSED], "it is processing", id="a job has not ended"
        ),
        pytest.param([dataclasses.replace(RIGHT, result={"words": 1}), REFUSED], "but must be", id="a result is wrong"),
        pytest.param([dataclasses.replace(RIGHT, accepted_ends=2), REFUSED], "2 times", id="a job ended twice"),
        pytest.param([dataclasses.replace(RIGHT, accepted_ends=0), REFUSED], "0 times", id="no recorded end"),
        pytest.param(
            [dataclasses.replace(RIGHT, status="failed"), REFUSED], "its payload is valid", id="a valid job failed"
        ),
        pytest.param(
            [RIGHT, dataclasses.replace(REFUSED, status="completed")], "must fail with", id="a malformed job completed"
        ),
        pytest.param(
            [RIGHT, dataclasses.replace(REFUSED, result={"error": {"message": "KeyError"}})],
            "does not contain",
            id="an unreadable error",
        ),
        pytest.param([RIGHT, dataclasses.replace(REFUSED, result=None)], "does not contain", id="no error at all"),
        pytest.param(
            [RIGHT, dataclasses.replace(REFUSED, attempts=5)], "no retry can repair", id="a malformed job was retried"
        ),
    ],
)
def test_each_wrong_end_is_found_and_named(rows: list[Row], why: str) -> None:
    verdict = judged(*rows)

    assert not verdict.holds
    assert [found for found in verdict.findings if why in found.why]


def test_a_missing_row_counts_as_lost_and_a_second_end_as_a_duplicate() -> None:
    verdict = judged(dataclasses.replace(REFUSED, accepted_ends=2))

    assert (verdict.lost, verdict.duplicates) == (1, 1)
