"""README and quickstart, run as they are shown."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg

from jobtide.commands.dev_folder import url_file
from tests.pages import QUICKSTART, README, commands, shown

ANY = re.compile(r"\d\d:\d\d:\d\d|(?<=dev-)[0-9a-f]{5}|(?<=oldest )\d+|\.\.\.")


def terminal(page: str) -> list[re.Pattern[str]]:
    """The lines of the page; times, ages and names of workers are any, `...` is any text."""
    lines = (".*?".join(map(re.escape, ANY.split(line))) for line in page.splitlines())
    return [re.compile(f"^{line}$", re.MULTILINE) for line in lines]


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


def test_the_quickstart_goes_from_nothing_to_completed_jobs(dev, folder, wait_until):
    (folder / "thumbs.py").write_text(shown(QUICKSTART, "handler"))
    started = shlex.split(shown(QUICKSTART, "start"))
    process = dev(*started[2:], url=None)
    try:
        wait_until(lambda: process.says("can be read"))
        for command in shown(QUICKSTART, "add jobs").splitlines():
            assert run(command, folder)
        with psycopg.connect(url_file(folder).read_text().strip(), autocommit=True) as connection:

            def statuses():
                return dict(connection.execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall())

            wait_until(lambda: statuses() == {"completed": 500, "failed": 1})
            connection.execute(shown(QUICKSTART, "first job"))
            wait_until(lambda: statuses() == {"completed": 501, "failed": 1})
    finally:
        code = process.end()  # and its PostgreSQL, also if the test fails
    assert code == 0
    lines = terminal(shown(QUICKSTART, "what the terminal shows"))
    missing = [line.pattern for line in lines if not line.search(process.output)]
    assert missing == [], process.output


def test_the_handler_the_pool_and_the_row_of_the_readme_work_together(dev, folder, connect, tenant, rows, wait_until):
    (folder / "acme/jobs.py").write_text(shown(README, "handler"))
    (folder / "pool.yaml").write_text(shown(README, "pool"))
    (started,) = [words for words in commands(shown(README, "install and start")) if words[0] == "jobtide"]
    process = dev(*started[2:], "-f", "pool.yaml")
    insert = shown(README, "job").replace("'…'", f"'{tenant('ours')}'").replace('"…"', '"a.png"')
    connect().execute(insert)
    wait_until(lambda: [row["status"] for row in rows()] == ["completed"])
    assert rows()[0]["result"] == {"small": "a.png?width=120"}
    assert process.says("media/thumbs: 0 -> ")
