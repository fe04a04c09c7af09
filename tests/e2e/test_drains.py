"""A rollout, a node drain and a deletion all end in the worker's own drain: the running job finishes, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.work import Change, Work, wait_for

RUNS_SECONDS = 20.0  # longer than it takes to stop a worker, and shorter than its drain


def test_a_rollout_a_node_drain_and_a_deletion_let_the_running_job_finish(work: Work) -> None:
    jobs = {"rollout": begin(work, "rollout")}
    apply(work, "rollout", container={"env": [{"name": "EDITED", "value": "yes"}]})
    jobs["delete"] = begin(work, "delete")
    work.kubectl("delete", "pod", "--selector", f"{POOL_LABEL}=delete", "--wait=false")
    jobs["node"] = begin(work, "node")
    with drained_node(work, "node"):
        (still_there,) = work.history(jobs["node"][:1]).values()
        assert still_there[-1].became == "completed"  # the drain waited for it

    work.wait_completed(*(job for pool in jobs.values() for job in pool))
    for name, (first, *others) in jobs.items():
        history = work.history([first, *others])
        interrupted = {job: seen for job, seen in history.items() if statuses(seen) != ["processing", "completed"]}
        assert not interrupted, f"jobs of pool {name}"
        stopped = history[first][-1].pod_uid
        assert stopped not in {history[job][0].pod_uid for job in others}


def begin(work: Work, name: str) -> list[UUID]:
    """One job that runs, and three that wait behind it."""
    apply(work, name)
    (first,) = work.insert(f"{name}.hold", {"seconds": RUNS_SECONDS})
    wait_for("the first job being run", lambda: work.row(first).status == "processing")
    return [first, *work.insert(f"{name}.hold", {"seconds": 0}, count=3)]


def apply(work: Work, name: str, **more: object) -> None:
    work.apply_pool(name, [f"{name}.hold"], drainSeconds=90, **more)


def statuses(history: list[Change]) -> list[str]:
    return [change.became for change in history]


@contextmanager
def drained_node(work: Work, pool: str) -> Iterator[None]:
    """Like `kubectl drain`, by evictions, but of this pool's pods only: the node runs everything else too."""
    pods = f"{POOL_LABEL}={pool}"
    (node,) = work.kubectl("get", "pods", "--selector", pods, "-o", "jsonpath={.items[*].spec.nodeName}").split()
    try:
        work.stage.kubectl("drain", node, "--pod-selector", pods, "--timeout", "120s")
        yield
    finally:
        work.stage.kubectl("uncordon", node)
