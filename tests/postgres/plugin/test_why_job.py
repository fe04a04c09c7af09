"""`kubectl jobtide why --job`: the table's reasons and the pools', by the function that the page uses too."""

from __future__ import annotations

import json
import os
from uuid import uuid4

import pytest

from jobtide_controller.plugin.command import main
from tests.unit.plugin.fake_kubectl import FakeKubectl

TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}


def pool(name="thumbs", *, conditions=(), ready=0, **spec):
    listed = [
        {"type": type_, "status": status, "reason": reason, "message": message}
        | {"lastTransitionTime": "2026-11-29T02:00:00Z"}
        for type_, status, reason, message in conditions
    ]
    return {
        "apiVersion": "jobtide.dev/v1alpha1",
        "kind": "JobWorkerPool",
        "metadata": {"name": name, "namespace": "media", "uid": name, "generation": 1},
        "spec": {"types": ["a"], "template": TEMPLATE, **spec},
        "status": {"desiredReplicas": 3, "readyReplicas": ready, "conditions": listed},
    }


READY = ("Ready", "True", "Ready", "")


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return FakeKubectl(tmp_path)


@pytest.fixture
def why(kubectl, database, connect, tenant, capsys):
    """why(*pools, flags) -> exit code, stdout and stderr, for a job of the type a that is due."""
    statement = "INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'a') RETURNING id"
    (id_,) = connect().execute(statement, [tenant()]).fetchone()

    def run(*pools, flags=(), job=id_):
        kubectl.answers(json.dumps({"kind": "List", "items": list(pools)}))
        code = main(["why", "--job", str(job), "--database-url", database, *flags])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        pytest.param(pool(types=["b"]), "No pool of this database has the type a.", id="no-pool-serves-its-type"),
        pytest.param(
            pool(conditions=[("Paused", "True", "Paused", "")], paused=True, pausedUntil="2030-01-01T00:00:00Z"),
            "Pool media/thumbs is paused until 2030-01-01T00:00:00Z.",
            id="paused",
        ),
        pytest.param(
            pool(conditions=[READY], ready=2, replicas=2), "Pool media/thumbs is pinned to 2 workers.", id="pinned"
        ),
        pytest.param(
            pool(conditions=[("ScalingActive", "False", "CappedByBudget", "the budget is used up")], ready=1),
            "Pool media/thumbs has no more workers: the budget is used up.",
            id="at-its-limit",
        ),
        pytest.param(
            pool(conditions=[("Stalled", "True", "ImagePull", "ImagePullBackOff: no such image")]),
            "Pods of pool media/thumbs don't start: ImagePullBackOff: no such image.",
            id="pods-that-do-not-start",
        ),
        pytest.param(
            pool(conditions=[READY]), "Pool media/thumbs has no worker that is ready; it asks for 3.", id="no-worker"
        ),
    ],
)
def test_a_job_waits_for_its_pool(why, kubectl, found, sentence):
    code, out, err = why(found)
    assert (code, err) == (0, "")
    assert sentence in out.splitlines()
    assert "--all-namespaces" in kubectl.calls[0]


def test_a_limit_of_a_tenant_that_no_status_shows_is_read_from_the_table(why, connect):
    connect().execute("INSERT INTO jobtide_pool_limits (pool) VALUES ('media/thumbs'), ('')")
    connect().execute(
        "INSERT INTO jobtide_tenant_limits (pool, tenant_id, type, max_concurrent, until) "
        "SELECT '', tenant_id, 'a', 0, '2200-01-01Z' FROM job_queue"
    )
    code, out, _ = why(pool(conditions=[READY], ready=1))
    assert code == 0
    assert "Its tenant is paused for type a: its limit is 0, until 2200-01-01T00:00:00.000000Z." in out.splitlines()


def test_a_pool_without_a_status_is_not_said_to_have_no_workers(why):
    code, out, _ = why(pool())
    assert (code, "no worker" in out) == (0, False)


def test_the_json_has_the_codes(why):
    _, out, _ = why(pool(conditions=[READY], ready=1), flags=["--json"])
    assert [reason["code"] for reason in json.loads(out)["reasons"]] == ["Next"]


def test_pools_of_two_databases_need_the_name(why):
    pools = pool(types=["b"]), pool("bills", database="archive", ready=1, conditions=[READY])
    code, _, err = why(*pools)
    assert (code, "say with --database which one the URL leads to" in err) == (1, True)
    assert "No pool of this database has the type a." in why(*pools, flags=["--database", "main"])[1]
    assert "No pool" not in why(*pools, flags=["--database", "archive"])[1]
    assert "no pool uses the database other; pools use archive, main" in why(*pools, flags=["--database", "other"])[2]


def test_a_pool_that_may_not_use_its_database_handles_no_job(why):
    refused = pool(conditions=[READY], ready=1)
    refused["status"]["reason"] = "NamespaceNotAllowed"
    assert "No pool of this database has the type a." in why(refused)[1].splitlines()


def test_the_pools_of_one_namespace_are_not_enough(why):
    code, _, err = why(pool(), flags=["-n", "media"])
    assert (code, "leave out -n" in err) == (1, True)


def test_an_absent_job_is_one_sentence(why):
    absent = uuid4()
    code, out, err = why(pool(), job=absent)
    assert (code, out) == (1, "")
    assert err.startswith(f"kubectl jobtide: there is no job {absent}")


@pytest.mark.parametrize("arguments", [["why"], ["why", "thumbs", "--job", str(uuid4())]])
def test_a_pool_or_a_job_is_named(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "why needs a pool, or --job with a job's ID" in capsys.readouterr().err
