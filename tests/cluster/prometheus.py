"""A real Prometheus that a test starts, and what it answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dev.machine.ports import free_port
from dev.machine.wait import answers, wait_until
from dev.tools.toolchain import ensure_tools


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its HTTP API."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """What it answers; the test fails with its words if it refuses."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{parameters}: {json.load(refused)['error']}") from None

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The series of an instant query, now."""
        found = self.get("query", query=query)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def label_values(self, selector: str, label: str) -> list[str]:
        found: list[str] = self.get(f"label/{label}/values", **{"match[]": selector})
        return found

    def labels_of(self, metric: str) -> set[str]:
        """Of all its series; empty for a metric without any."""
        series = self.get("series", **{"match[]": metric})
        return {label for one in series for label in one}

    def parsed(self, query: str) -> dict[str, Any]:
        """The expression as Prometheus understands it."""
        tree: dict[str, Any] = self.get("parse_query", query=query)
        return tree


@contextlib.contextmanager
def prometheus(directory: Path, configuration: dict[str, Any]) -> Iterator[Prometheus]:
    """One that scrapes what `configuration` says, until the block ends."""
    port = free_port()
    file, log = directory / "prometheus.yml", directory / "prometheus.log"
    file.write_text(yaml.safe_dump(configuration))
    command = [
        ensure_tools("prometheus")["prometheus"],
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(
            "Prometheus",
            lambda: process.poll() is not None or answers(f"{running.url}/-/ready"),
            reason=lambda: log.read_text()[-2_000:],
        )
        assert process.poll() is None, log.read_text()[-2_000:]
        yield running
    finally:
        process.kill()
        process.wait(10)
