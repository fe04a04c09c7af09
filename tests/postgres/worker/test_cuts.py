"""A worker that is cut off from its database: for a moment it loses nothing, for longer than a lease it loses its jobs.

Each cut comes in two forms: connections that close, and connections on which nothing arrives any more until the cut
is over, when what was held back is delivered late.
"""

from __future__ import annotations

import pytest

from jobtide.job import End
from jobtide.queue.ring import Ring
from tests.postgres.worker.proxy import Proxy

pytest_plugins = ["tests.postgres.worker.audit"]

BOTH = pytest.mark.parametrize("how", ["closed", "silent"])
JOBS = 400


@pytest.fixture
def proxy(database):
    with Proxy(database) as running:
        yield running


@BOTH
def test_a_cut_of_a_second_loses_nothing(
    worker, proxy, connect, tenant, statuses, ends, notes, wait_until, tmp_path, how
):
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type, payload)
           SELECT %s, 'note', jsonb_build_object('file', %s::text, 'line', n::text) FROM generate_series(1, %s) n""",
        [tenant(), str(tmp_path / "notes"), JOBS],
    )
    process = worker(JOBTIDE_DATABASE_URL=proxy.url, JOBTIDE_CONCURRENCY="1")
    for done in (20, 200):
        wait_until(lambda done=done: len(notes()) >= done)
        proxy.cut(how, seconds=1)
        wait_until(lambda: not proxy.is_cut)
    wait_until(lambda: statuses() == {"completed": JOBS})
    assert set(ends().values()) == {1}
    assert set(notes()) == {str(number) for number in range(1, JOBS + 1)}
    assert not process.logged("lease lost")


@BOTH
def test_a_result_after_a_cut_longer_than_the_lease_is_refused(
    worker, proxy, enqueue, tenant, row, ends, queue, wait_until, tmp_path, how
):
    id_ = enqueue("wait", tenant(), {"file": str(tmp_path / "go"), "heeds": False})
    cut_off = worker(JOBTIDE_DATABASE_URL=proxy.url, JOBTIDE_LEASE_SECONDS="1")
    wait_until(lambda: row(id_)["status"] == "processing")
    proxy.cut(how)
    other = queue("pod-2")
    wait_until(lambda: other.rescue_expired(10))
    (again,) = other.claim(Ring(("wait",)), 1, 1).jobs
    (tmp_path / "go").touch()
    assert other.finish([End(again, "completed", '"of the second"')]) == {id_}
    proxy.mend()
    wait_until(lambda: cut_off.logged("lease lost"))
    assert (row(id_)["result"], row(id_)["attempts"]) == ("of the second", 1)
    assert ends() == {id_: 1}
    later = enqueue("echo", tenant(), "on")
    wait_until(lambda: row(later)["status"] == "completed")
