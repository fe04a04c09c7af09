"""The controller's settings: environment variables, read and checked once at the start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from jobtide_controller.telemetry.logs import LogFormat

Value = TypeVar("Value")

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """A setting can't be used; the message names the variable, its value and what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults are those of the chart."""

    databases_dir: Path = Path("/var/run/jobtide/databases")
    namespaces: tuple[str, ...] = ()  # empty: all
    namespace: str = "default"  # our own, where the Lease lies
    pod_name: str = "jobtide"  # whose name is in the Lease
    lease_name: str = "jobtide"
    http_port: int = 8080  # 0: any free port
    log_level: str = "INFO"
    log_format: LogFormat = "json"
    tick_min_seconds: float = 0.2
    tick_max_seconds: float = 5.0
    read_timeout_seconds: float = 5.0
    resync_seconds: float = 300.0
    depth_cap: int = 10_000  # rows counted per type and tenant
    connection_budgets: Mapping[str, int] = field(default_factory=dict)  # by database; for the workers of all pools

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Raises SettingsError at the first variable that can't be used. Empty is unset."""
        read = _Environment(env)
        default = cls()
        tick_min = read.seconds("JOBTIDE_TICK_MIN_SECONDS", default.tick_min_seconds, least=0.05, most=60)
        return cls(
            databases_dir=Path(read.text("JOBTIDE_DATABASES_DIR", str(default.databases_dir))),
            namespaces=read.namespaces("JOBTIDE_NAMESPACES"),
            namespace=read.text("JOBTIDE_NAMESPACE", default.namespace),
            pod_name=read.text("JOBTIDE_POD_NAME", default.pod_name),
            lease_name=read.text("JOBTIDE_LEASE_NAME", default.lease_name),
            http_port=read.whole("JOBTIDE_HTTP_PORT", default.http_port, least=0, most=65_535),
            log_level=read.choice("JOBTIDE_LOG_LEVEL", default.log_level, _LEVELS, str.upper),
            log_format=cast("LogFormat", read.choice("JOBTIDE_LOG_FORMAT", "json", ("json", "text"), str.lower)),
            tick_min_seconds=tick_min,
            tick_max_seconds=read.seconds(
                "JOBTIDE_TICK_MAX_SECONDS", max(default.tick_max_seconds, tick_min), least=tick_min, most=600
            ),
            read_timeout_seconds=read.seconds(
                "JOBTIDE_READ_TIMEOUT_SECONDS", default.read_timeout_seconds, least=0.1, most=60
            ),
            resync_seconds=read.seconds("JOBTIDE_RESYNC_SECONDS", default.resync_seconds, least=1, most=86_400),
            depth_cap=read.whole("JOBTIDE_DEPTH_CAP", default.depth_cap, least=50, most=10_000_000),
            connection_budgets=read.numbers("JOBTIDE_CONNECTION_BUDGETS", least=2, most=1_000_000),
        )


class _Environment:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str, default: str) -> str:
        return self._env.get(name, "").strip() or default

    def choice(self, name: str, default: str, choices: tuple[str, ...], normal: Callable[[str], str]) -> str:
        value = self.text(name, default)
        if normal(value) not in choices:
            raise SettingsError(f'{name} is "{value}": use {", ".join(choices)}')
        return normal(value)

    def namespaces(self, name: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip() for part in self.text(name, "").split(",") if part.strip()))
        for namespace in found:
            if not _NAMESPACE.fullmatch(namespace):
                raise SettingsError(
                    f'{name} has "{namespace}", which is no name of a namespace: '
                    "use names separated by commas, or leave it empty for all"
                )
        return found

    def numbers(self, name: str, *, least: int, most: int) -> dict[str, int]:
        """A JSON object of whole numbers."""
        text = self.text(name, "{}")
        wanted = f'use a JSON object of whole numbers from {least} to {most}, such as {{"main": 40}}'
        try:
            found = json.loads(text)
        except ValueError:
            raise SettingsError(f"{name} is {text}: {wanted}") from None
        # A bool is an int to Python, and nobody means one.
        if not isinstance(found, dict) or not all(type(n) is int and least <= n <= most for n in found.values()):
            raise SettingsError(f"{name} is {text}: {wanted}")
        return found

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        return self._number(name, default, int, "a whole number", (least, most))

    def seconds(self, name: str, default: float, *, least: float, most: float) -> float:
        return self._number(name, default, float, "a number of seconds", (least, most))

    def _number(
        self, name: str, default: Value, convert: Callable[[str], Value], what: str, bounds: tuple[float, float]
    ) -> Value:
        text = self.text(name, "")
        if not text:
            return default
        wanted = f"use {what} from {bounds[0]:g} to {bounds[1]:g}"
        try:
            value = convert(text)
        except ValueError:
            raise SettingsError(f'{name} is "{text}": {wanted}') from None
        if not bounds[0] <= cast("float", value) <= bounds[1]:
            raise SettingsError(f"{name} is {text}: {wanted}")
        return value
