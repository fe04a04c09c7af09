"""`jobtide dev` with many pools as a process, its page and its metrics."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from dev.bench.pools.controller import Controller
from dev.machine.wait import wait_until

POOLS = 40
TYPES = [f"page{number:02}" for number in range(POOLS)]
APPLICATION = f"""
from jobtide import Tide
tide = Tide()
for type_ in {TYPES}:
    tide.job(type_)(lambda payload: None)
"""
# Paused, so that no worker takes part.
POOL = """---
apiVersion: jobtide.dev/v1alpha1
kind: JobWorkerPool
metadata: {{name: {name}, namespace: bench}}
spec:
  types: [{name}]
  paused: true
  template: {{spec: {{containers: [{{name: worker, image: none}}]}}}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A running page; this process is logged in to it."""

    controller: Controller
    base: str  # with its last slash
    token: str
    metrics: str
    opener: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
    )

    def get(self, path: str) -> Any:
        """The document at this path. Raises HTTPError for a refusal."""
        with self.opener.open(self.base + path, timeout=30) as answer:
            return json.load(answer)

    def log_in(self) -> None:
        body = json.dumps({"token": self.token}).encode()
        request = urllib.request.Request(f"{self.base}api/login", body, {"Content-Type": "application/json"})
        self.opener.open(request, timeout=30).close()

    def ticks(self) -> tuple[float, float]:
        """Seconds of all ticks until now, and their number."""
        with self.opener.open(self.metrics, timeout=30) as answer:
            text = answer.read().decode()
        return _total(text, "jobtide_tick_seconds_sum"), _total(text, "jobtide_tick_seconds_count")

    @contextmanager
    def viewers(self, count: int) -> Iterator[None]:
        """So many open pages, while the block runs."""
        command = [sys.executable, "-m", "dev.bench.page.viewers", self.base, self.token, str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            yield
            process.communicate()  # the end of its stdin ends it


@contextmanager
def site(url: str) -> Iterator[Site]:
    """The page over this database; the process ends with the block."""
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name, "dev.log")
        Path(folder, "acme.py").write_text(APPLICATION)
        Path(folder, "pools.yaml").write_text("".join(POOL.format(name=type_) for type_ in TYPES))
        arguments = ["dev", "acme:tide", "-f", "pools.yaml", "--no-reload", "--port", "0", "--database-url", url]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobtide", *arguments],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until("the page", lambda: "#token=" in log.read_text() or process.poll(), reason=log.read_text)
            page = re.search(r"(http://\S+/)#token=(\S+)", log.read_text())
            metrics = re.search(r"http://\S+/metrics", log.read_text())
            assert page is not None, log.read_text()
            assert metrics is not None, log.read_text()
            running = Site(Controller(process, log, 0.0), page[1], page[2], metrics[0])
            running.log_in()
            wait_until("the first reading", lambda: running.get("api/overview")["databases"][0]["reachable"])
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _total(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
