"""The conditions of a pool when something about it is wrong, and after an edit."""

from __future__ import annotations

import re

import pytest

from dev.stage.postgres import CONTROLLER
from dev.stage.stage import Stage
from tests.e2e.work import Work, wait_for

WRONG_PASSWORD = "wrong-password-0123456789"
WRONG = (
    ("not-configured", "nowhere", "DatabaseReachable", "DatabaseNotConfigured", "nowhere"),
    ("wrong-password", "wrong-password", "DatabaseReachable", "AuthFailed", "password authentication failed"),
    ("no-listener", "no-listener", "DatabaseReachable", "Unreachable", "refused"),
    ("blind", "blind", "DatabaseReachable", "RLSHidesRows", "job_queue"),
    ("no-table", "no-table", "SchemaReady", "TableMissing", "job_queue"),
)


@pytest.fixture
def wrong_databases(stage: Stage, blind_user: str) -> None:
    """Installs the chart with databases that are wrong, each in a different way."""
    password = stage.postgres.passwords[CONTROLLER]
    main = stage.postgres.service_url("main", CONTROLLER)
    stage.install(
        {
            "wrong-password": main.replace(password, WRONG_PASSWORD),
            "no-table": stage.postgres.service_url("postgres", CONTROLLER),
            "blind": main.replace(f"//{CONTROLLER}:", f"//{blind_user}:"),
            "no-listener": main.replace(":5432/", ":1/"),
        }
    )


@pytest.mark.usefixtures("wrong_databases")
def test_each_wrong_database_has_its_own_reason_and_starts_no_worker(work: Work) -> None:
    for name, database, *_ in WRONG:
        work.apply_pool(name, ["faults.hold"], database=database)

    for name, _, condition, reason, words in WRONG:
        shown = work.wait_condition(name, condition, "False", reason)
        assert words in shown.message
        assert work.pool(name).is_("Ready", "False")
    output = work.kubectl("get", "jwp", "-o", "yaml") + work.kubectl("get", "events", "-o", "yaml")
    assert WRONG_PASSWORD not in output
    assert work.stage.postgres.passwords[CONTROLLER] not in output
    assert work.pods() == []


def test_two_pools_for_one_type_both_show_it(work: Work) -> None:
    work.apply_pool("one", ["shared.hold"])
    work.apply_pool("other", ["shared.hold"])

    for name, peer in [("one", "other"), ("other", "one")]:
        shown = work.wait_condition(name, "ScalingActive", "False", "TypesOverlap")
        assert "shared.hold" in shown.message
        assert peer in shown.message


def test_waiting_for_ready_after_an_edit_waits_for_the_edit(work: Work) -> None:
    work.apply_pool("edited", ["edit.hold"], maxReplicas=3)
    work.kubectl("wait", "jwp/edited", "--for=condition=Ready", "--timeout=120s")

    work.apply_pool("edited", ["edit.hold"], maxReplicas=4)
    work.kubectl("wait", "jwp/edited", "--for=condition=Ready", "--timeout=120s")

    pool = work.kubectl_json("get", "jwp", "edited")
    judged = {condition["type"]: condition for condition in pool["status"]["conditions"]}
    assert pool["metadata"]["generation"] == 2
    assert judged["Ready"]["observedGeneration"] == 2


def test_waiting_for_nothing_to_be_pending_waits_for_the_last_job_to_begin(work: Work) -> None:
    work.apply_pool("counted", ["counted.hold"])
    jobs = work.insert("counted.hold", {"seconds": 3}, count=4)
    work.kubectl("wait", "jwp/counted", "--for=jsonpath={.status.pending}", "--timeout=120s")
    wait_for("the jobs being counted", lambda: work.kubectl_json("get", "jwp", "counted")["status"]["pending"])

    work.kubectl("wait", "jwp/counted", "--for=jsonpath={.status.pending}=0", "--timeout=120s")

    assert {work.row(job).status for job in jobs} <= {"processing", "completed"}


def test_depth_is_shown_per_type_and_tenant_and_columns_are_filled(work: Work) -> None:
    work.apply_pool("held", ["held.hold"], paused=True)
    work.insert("held.hold", {"seconds": 0}, count=7)

    def counted() -> bool:
        status = work.kubectl_json("get", "jwp", "held").get("status", {})
        return bool(status.get("pending") == 7 and status["types"] and status["tenants"])

    wait_for("the depth being shown", counted)
    status = work.kubectl_json("get", "jwp", "held")["status"]
    assert [(entry["type"], entry["pending"]) for entry in status["types"]] == [("held.hold", 7)]
    assert [(entry["tenant"], entry["pending"]) for entry in status["tenants"]] == [(str(work.tenant), 7)]
    headings, row = work.kubectl("get", "jwp", "held", "-o", "wide").splitlines()
    assert columns(headings) == [
        "NAME", "PENDING", "OLDEST", "BUSY", "DESIRED", "READY", "REASON",
        "MIN", "MAX", "PROCESSING", "TENANTS", "LIMITED-BY", "AGE",
    ]  # fmt: skip
    assert len(columns(row)) == len(columns(headings))
    assert columns(row)[:2] == ["held", "7"]
    assert columns(row)[6] == "Paused"


def columns(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())
