from __future__ import annotations

from uuid import UUID

import pytest

from dev.demo import report
from dev.demo.verify import Finding, Verdict
from dev.demo.workload import ARCHIVE, INDEX, DemoJob
from dev.stage.job_table import Row

LOUD, QUIET = UUID(int=1), UUID(int=2)
JOBS = [
    *(DemoJob(UUID(int=10 + number), LOUD, INDEX, {}) for number in range(3)),
    DemoJob(UUID(int=20), QUIET, ARCHIVE, {}),
]
ROWS = {
    job.id: Row(job.id, "failed" if job.type == ARCHIVE else "completed", {}, 1, 1, wait_seconds=float(number))
    for number, job in enumerate(JOBS)
}


def test_the_report_has_a_table_by_type_and_one_by_tenant() -> None:
    assert report.account(JOBS, ROWS, {LOUD: "01", QUIET: "02"}).splitlines() == [
        "type              jobs  completed  failed  wait p50  wait p99",
        "doc.index            3          3       0    1.00 s    2.00 s",
        "archive.compress     1          0       1    3.00 s    3.00 s",
        "",
        "tenant  jobs  completed  failed  wait p50  wait p99",
        "01         3          3       0    1.00 s    2.00 s",
        "02         1          0       1    3.00 s    3.00 s",
    ]


def test_jobs_without_a_row_or_a_claim_have_no_wait() -> None:
    assert report.account(JOBS[:1], {}, {LOUD: "01"}).splitlines()[1].split() == ["doc.index", "1", "0", "0", "-", "-"]


def test_the_last_line_is_for_programs() -> None:
    verdict = Verdict(jobs=4, completed=3, failed=1, malformed=1, lost=0, duplicates=0, findings=())

    assert report.last_line(verdict, max_workers=5, zero_after_seconds=11.26) == (
        "demo: jobs=4 completed=3 failed=1 lost=0 duplicates=0 max_workers=5 zero_after_s=11.3"
    )


def test_many_findings_are_counted_and_the_first_are_shown() -> None:
    found = tuple(Finding(JOBS[0], f"reason {number}") for number in range(25))

    lines = report.findings(Verdict(25, 0, 0, 0, 25, 0, found))

    assert lines[0] == f"job {JOBS[0].id} (doc.index): reason 0"
    assert lines[-1] == "and 15 more"


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([], 50, None, id="of nothing"),
        pytest.param([3.0], 99, 3.0, id="of one"),
        pytest.param(range(1, 201), 50, 100, id="the median of 1 to 200"),
        pytest.param(range(1, 201), 99, 198, id="the 99th of 1 to 200"),
        pytest.param([5.0, 1.0, 3.0], 50, 3.0, id="in any order"),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], percent: float, expected: float | None) -> None:
    assert report.percentile(values, percent) == expected
