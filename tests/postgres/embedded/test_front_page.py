"""README and quickstart, run as they are shown."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from jobtide.commands.dev_folder import url_file

ROOT = Path(__file__).parents[3]
README, QUICKSTART = ROOT / "README.md", ROOT / "docs/quickstart.md"


def block(page: Path, language: str, containing: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if containing in text]
    return found


def run(command: str, folder: Path) -> str:
    """A line of the page as a shell would run it there, without a database in the environment."""
    program, *arguments = shlex.split(command)
    assert program == "jobtide"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE")}
    done = subprocess.run(
        [sys.executable, "-m", "jobtide", *arguments],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_the_quickstart_goes_from_nothing_to_completed_jobs(dev, folder, wait_until):
    (folder / "thumbs.py").write_text(block(QUICKSTART, "python", "Tide()"))
    started = shlex.split(block(QUICKSTART, "sh", "jobtide dev"))
    process = dev(*started[2:], url=None)
    try:
        wait_until(lambda: process.says("can be read"), seconds=60)
        for command in block(QUICKSTART, "sh", "jobtide enqueue").splitlines():
            assert run(command, folder)
        with psycopg.connect(url_file(folder).read_text().strip(), autocommit=True) as connection:

            def statuses():
                return dict(connection.execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall())

            wait_until(lambda: statuses() == {"completed": 500, "failed": 1}, seconds=60)
            (tenant,) = connection.execute("SELECT id FROM tenants WHERE name = 'acme'").fetchone()
            connection.execute(block(QUICKSTART, "sql", "INSERT").replace("<tenant>", str(tenant)))
            wait_until(lambda: statuses() == {"completed": 501, "failed": 1}, seconds=60)
    finally:
        code = process.end()  # and its PostgreSQL, also if the test fails
    assert code == 0
    for line in ("default/dev: 0 -> ", "working on thumbs", 'job failed: Fail: the payload has no "image"'):
        assert process.says(line)


def test_the_handler_the_pool_and_the_row_of_the_readme_work_together(dev, folder, connect, tenant, rows, wait_until):
    (folder / "acme/jobs.py").write_text(block(README, "python", "Tide()"))
    (folder / "pool.yaml").write_text(block(README, "yaml", "JobWorkerPool"))
    process = dev("acme.jobs:tide", "-f", "pool.yaml")
    insert = block(README, "sql", "INSERT").replace("'…'", f"'{tenant('ours')}'").replace('"…"', '"a.png"')
    connect().execute(insert)
    wait_until(lambda: [row["status"] for row in rows()] == ["completed"], seconds=30)
    assert rows()[0]["result"] == {"small": "a.png?width=120"}
    assert process.says("media/thumbs: 0 -> ")


def test_the_logins_of_the_quickstart_have_the_roles_of_the_schema(connect):
    connection = connect(autocommit=False)
    connection.execute(block(QUICKSTART, "sql", "CREATE ROLE").replace("'...'", "'secret'"))
    granted = connection.execute(
        "SELECT pg_has_role('acme_controller', 'jobtide_controller', 'USAGE'), "
        "pg_has_role('acme_worker', 'jobtide_worker', 'USAGE')"
    ).fetchone()
    assert granted == (True, True)
    connection.rollback()
