"""The controller's settings: environment variables JOBTIDE_*, read and checked once at the start.

The chart's schema is generated from `ChartSettings`: names, types, bounds, defaults and descriptions exist here only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from jobtide_controller.telemetry.logs import LogFormat

PREFIX = "JOBTIDE_"

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Namespaces = Annotated[tuple[Namespace, ...], Field(min_length=1)]
PagePath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$", max_length=200)]
ConnectionBudget = Annotated[int, Field(ge=2, le=1_000_000, strict=True)]  # strict: true and "40" are no numbers


class SettingsError(ValueError):
    """A setting can't be used; the message names the variable, its value and what to use instead."""


def _names(value: Any) -> Any:
    """`media, crm,media` -> media and crm."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, value.split(","))))) if isinstance(value, str) else value


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class ChartSettings(BaseModel):
    """The settings that a user of the chart may choose."""

    model_config = ConfigDict(frozen=True)

    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = Field("INFO", description="Lowest level logged.")
    log_format: Annotated[LogFormat, BeforeValidator(str.lower)] = Field("json", description="Format of a log line.")
    tick_min_seconds: float = Field(
        0.2, ge=0.05, le=60, description="Shortest pause between two readings of a database, in seconds."
    )
    tick_max_seconds: float = Field(
        default_factory=lambda valid: max(5.0, valid["tick_min_seconds"]),
        ge=0.05,
        le=600,
        description="Longest pause between two readings of a database, in seconds; at least tickMinSeconds.",
    )
    read_timeout_seconds: float = Field(
        5.0, ge=0.1, le=60, description="Seconds after which a reading counts as failed, which holds the fleet."
    )
    resync_seconds: float = Field(
        300.0, ge=1, le=86_400, description="Seconds between two full lists, which repair missed watch events."
    )
    depth_cap: int = Field(10_000, ge=50, le=10_000_000, description="Rows counted at most per type and tenant.")

    @field_validator("tick_max_seconds")
    @classmethod
    def _not_below_tick_min(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("tick_min_seconds", 0)
        if value < least:
            raise ValueError(f"at least {least:g}, the value of {PREFIX}TICK_MIN_SECONDS")
        return value


class Settings(ChartSettings):
    """All settings. `Settings()` has the defaults."""

    databases_dir: Path = Field(Path("/var/run/jobtide/databases"), description="One folder per database, with url.")
    namespaces: Annotated[tuple[Namespace, ...], BeforeValidator(_names)] = Field((), description="Empty: all.")
    namespace: str = Field("default", description="The controller's own namespace, where its Lease is.")
    pod_name: str = Field("jobtide", description="The leader's name in the Lease.")
    lease_name: str = Field("jobtide", description="Name of the Lease.")
    http_port: int = Field(8080, ge=0, le=65_535, description="Port of /healthz, /readyz and /metrics; 0: any free.")
    page_enabled: bool = Field(default=False, description="Serve the page, on a port of its own.")
    page_port: int = Field(8081, ge=0, le=65_535, description="Port of the page; 0: any free one.")
    page_path: PagePath = Field("", description="Before all paths of the page, if a proxy does not remove it.")
    operators_dir: Path = Field(
        Path("/var/run/jobtide/operators"), description="One folder per database, with the operator's url."
    )
    connection_budgets: Annotated[dict[str, ConnectionBudget], BeforeValidator(_parsed)] = Field(
        {}, description="By database: connections of the workers of all pools together."
    )
    database_namespaces: Annotated[dict[str, Namespaces], BeforeValidator(_parsed)] = Field(
        {}, description="By database: the namespaces whose pools may name it. Not in it: all."
    )
    show_tenants: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="Databases whose tenants are in the status of pools and in /metrics."
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Raises SettingsError at the first variable that can't be used. Empty is unset."""
        texts = {name: env.get(_variable(name), "").strip() for name in cls.model_fields}
        texts = {name: text for name, text in texts.items() if text}
        try:
            return cls.model_validate(texts)
        except ValidationError as error:
            wrong = error.errors()[0]
            name = str(wrong["loc"][0])
            raise SettingsError(f'{_variable(name)} is "{texts[name]}": use {_advice(name, wrong)}') from None


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _advice(name: str, wrong: ErrorDetails) -> str:
    schema = Settings.model_json_schema()["properties"][name]
    match schema:
        case _ if name in _EXAMPLES:
            return _EXAMPLES[name].format(wrong["input"])
        case {"additionalProperties": {"minimum": least, "maximum": most}}:
            return f'a JSON object of whole numbers from {least} to {most}, such as {{"main": 40}}'
        case {"enum": choices}:
            return "one of " + ", ".join(choices)
        case _ if wrong["type"] == "value_error":
            return str(wrong["ctx"]["error"])
        case {"type": kind, "minimum": least, "maximum": most}:
            what = "a whole number" if kind == "integer" else "a number of seconds"
            return f"{what} from {least} to {most}"
        case _:
            return wrong["msg"]


_EXAMPLES = {
    "page_enabled": "true or false",
    "page_path": "a path without a slash at its end, such as /jobtide, or leave it empty",
    "namespaces": 'names separated by commas, or leave it empty for all; "{}" is no name of a namespace',
    "database_namespaces": 'a JSON object of lists of namespaces, such as {{"main": ["media"]}}',
}
