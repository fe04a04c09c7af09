"""A statement is one file that psql can run, so some parts stand twice: the copies say the same."""

from __future__ import annotations

import pytest

from jobtide.sql import load


@pytest.mark.parametrize(
    ("names", "begins", "ends"),
    [
        pytest.param(("finish", "finish_unlocked"), "SET\nstatus = outcome.status", "WHERE\nended.id", id="an end"),
        pytest.param(("claim", "claim_capped"), "claimed AS (", "RETURNING", id="the update of a claim"),
        pytest.param(
            ("claim", "claim_capped"), "CROSS JOIN LATERAL (\nSELECT\nmost.bytes", "ORDER BY", id="a payload's size"
        ),
    ],
)
def test_copies_of_a_part_are_equal(names, begins, ends):
    parts = []
    for name in names:
        statement = load("jobtide.sql", name)
        start = statement.index(begins)
        text = statement[start : statement.index(ends, start)]
        # Remarks may differ.
        parts.append("\n".join(line.partition(" --")[0] for line in text.splitlines() if not line.startswith("--")))
    assert parts[0] == parts[1]


def test_the_conditions_of_a_filter_mean_the_same_in_every_look():
    texts = [load("jobtide.operate", f"sql/{name}") for name in ("by_time", "by_tenant", "by_type")]
    parts = {text[text.index("AND (\n%(due_after)s") : text.index(") IS TRUE AS matches")] for text in texts}
    assert len(parts) == 1


def test_a_job_that_is_named_by_its_id_is_asked_the_same():
    by_id, by_time = (load("jobtide.operate", f"sql/{name}") for name in ("by_id", "by_time"))
    conditions = by_id[by_id.index("AND (\n%(due_after)s") : by_id.index(") IS TRUE")].splitlines()
    assert conditions
    assert [line for line in conditions if line not in by_time.splitlines()] == []
