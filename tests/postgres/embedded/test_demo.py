"""`jobtide dev --demo`: the jobs that it adds, and where it refuses to add any."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from jobtide.commands.loading import load_tide
from jobtide_controller.embedded import demo
from jobtide_controller.embedded.demo.producer import LOUD, QUIET, add_burst


def test_each_burst_adds_as_many_jobs_for_the_same_ten_tenants(database, connect):
    first = add_burst(database)
    assert add_burst(database) == first
    counts = connect().execute(
        "SELECT t.name, count(*) FROM job_queue AS q JOIN tenants AS t ON t.id = q.tenant_id GROUP BY t.name"
    )
    by_tenant = dict(counts.fetchall())
    assert set(by_tenant) == {LOUD, *QUIET}
    assert 0.85 < by_tenant[LOUD] / (2 * first) < 0.95


def test_every_type_of_the_burst_has_a_handler_and_a_pool(database, connect):
    add_burst(database)
    types = {type_ for (type_,) in connect().execute("SELECT DISTINCT type FROM job_queue").fetchall()}
    pools = yaml.safe_load_all(demo.POOLS.read_text())
    assert types == set(load_tide(demo.APP).handlers) == {type_ for pool in pools for type_ in pool["spec"]["types"]}


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        pytest.param(["acme:tide"], {}, "acme:tide", id="application"),
        pytest.param(["-f", "pools.yaml"], {}, "-f", id="pools"),
        pytest.param(["--database-url", "postgresql://db/x"], {}, "--database-url", id="database"),
        pytest.param([], {"JOBTIDE_DATABASE_URL": "postgresql://db/x"}, "JOBTIDE_DATABASE_URL", id="environment"),
    ],
)
def test_the_demo_never_runs_on_what_a_user_has(tmp_path, arguments, environment, named):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
    refused = subprocess.run(
        [sys.executable, "-m", "jobtide", "dev", "--demo", *arguments],
        env=clean | environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"application, pools and database: leave out {named}\n")
    assert list(tmp_path.iterdir()) == []
