"""What `make demo` must show on every platform: run as its command, with few jobs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.demo.recording import read_recording

LAST_LINE = re.compile(
    r"demo: jobs=(?P<jobs>\d+) completed=(?P<completed>\d+) failed=(?P<failed>\d+) lost=(?P<lost>\d+) "
    r"duplicates=(?P<duplicates>\d+) max_workers=(?P<max_workers>\d+) zero_after_s=(?P<zero_after_s>[\d.]+)"
)


class DemoContract:
    """Subclasses say where, with flags and variables of the command."""

    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None

    def run_demo(self, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, float]]:
        command = [sys.executable, "-m", "dev.demo", *self.flags, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        last = LAST_LINE.fullmatch(done.stdout.rstrip().rpartition("\n")[2])
        assert last is not None, f"exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done, {name: float(value) for name, value in last.groupdict().items()}

    def test_pools_go_from_none_to_many_to_none_and_every_job_ends_once(self, tmp_path: Path) -> None:
        done, account = self.run_demo("--jobs", "400", "--tenants", "20", "--record", str(tmp_path / "run.json"))

        assert done.returncode == 0, done.stdout[-4000:]
        assert (account["jobs"], account["completed"] + account["failed"]) == (400, 400)
        assert (account["lost"], account["duplicates"]) == (0, 0)
        assert account["max_workers"] > 1
        assert "NAME" in done.stdout
        assert "PENDING" in done.stdout
        recorded = read_recording(tmp_path / "run.json")
        assert recorded.last_line == done.stdout.rstrip().rpartition("\n")[2]
        workers = [sample.workers for sample in recorded.samples]
        assert (workers[0], max(workers), workers[-1]) == (0, account["max_workers"], 0)
        assert max(sample.jobs for sample in recorded.samples) > max(sample.quiet_jobs for sample in recorded.samples)

    def test_after_a_killed_run_the_next_one_works(self) -> None:
        command = [sys.executable, "-m", "dev.demo", *self.flags, "--jobs", "400"]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stderr is not None
            assert any(line.startswith("Inserting") for line in killed.stderr)
            killed.kill()

        done, account = self.run_demo("--jobs", "60")

        assert done.returncode == 0, done.stdout[-4000:]
        assert (account["jobs"], account["lost"], account["duplicates"]) == (60, 0, 0)

    def test_a_time_without_postgres_holds_the_fleet_and_loses_nothing(self) -> None:
        done, account = self.run_demo("--jobs", "400", "--chaos-postgres", "30")

        assert done.returncode == 0, done.stdout[-4000:]
        assert (account["lost"], account["duplicates"]) == (0, 0)
        assert "DatabaseUnreachable" in done.stdout
