"""The controller as a process, and its memory and CPU time by the kernel's count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from dev.machine.errors import DevError
from dev.machine.wait import wait_until

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
QUIET_CORES = 0.15  # below, the work after the start is done
SAMPLE_SECONDS = 5.0
CALM_SAMPLES = 5  # longer than the pause before the first resync


def cpu_seconds(pid: int) -> float:
    """User and system time of a process since its start: fields 14 and 15 of /proc/PID/stat (proc_pid_stat(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:13])) / TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Controller:
    """A running controller. Memory is in MB of 2^20 bytes; `words` is its log until now."""

    process: subprocess.Popen[bytes]
    log: Path
    started_at: float  # monotonic, before exec

    @property
    def words(self) -> str:
        return self.log.read_text()

    @property
    def resident_mb(self) -> float:
        return self._status("VmRSS")

    @property
    def peak_mb(self) -> float:
        return self._status("VmHWM")

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def seconds_until(self, condition: Callable[[], object], *, what: str, within_seconds: float = 120.0) -> float:
        """Seconds from its start until `condition` is true."""

        def holds() -> object:
            if self.process.poll() is not None:
                raise DevError(f"the controller ended instead of {what}: {self.words[-2000:]}")
            return condition()

        wait_until(
            f"the controller {what}",
            holds,
            within_seconds=within_seconds,
            poll_seconds=0.02,
            reason=lambda: self.words[-2000:],
        )
        return monotonic() - self.started_at

    def await_quiet(self, within_seconds: float = 300.0, *, samples: int = CALM_SAMPLES) -> float:
        """Seconds from its start until it is idle, by its own CPU time; raises DevError if it does not become so."""
        calm = 0
        started = monotonic()
        while calm < samples:
            before = self.cpu_seconds
            sleep(SAMPLE_SECONDS)
            is_calm = self.cpu_seconds - before < SAMPLE_SECONDS * QUIET_CORES
            calm = calm + 1 if is_calm else 0
            if monotonic() - started > within_seconds:
                raise DevError(f"the controller still works after {within_seconds:g} s with nothing to do")
        return monotonic() - self.started_at - samples * SAMPLE_SECONDS

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@contextmanager
def controller(folder: Path, kubeconfig: Path, databases: Path, **settings: str) -> Iterator[Controller]:
    """Runs a controller in the block, which ends with SIGTERM. `settings` are environment variables."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
        "KUBECONFIG": str(kubeconfig),
        "JOBTIDE_DATABASES_DIR": str(databases),
        "JOBTIDE_HTTP_PORT": "0",
        **settings,
    }
    log = folder / "controller.log"
    with log.open("wb") as words:
        started_at = monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "jobtide_controller"], env=environ, stderr=words, stdin=subprocess.DEVNULL
        )
    try:
        yield Controller(process, log, started_at)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
