"""The values of the chart's alerts: when each fires, and how severe it is. Their expressions are in the chart."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

Severity = Literal["critical", "warning", "info"]

_STRICT = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True, frozen=True)


def _complete(schema: dict[str, Any]) -> None:
    """A value that is set to null has no default: Prometheus would drop the whole group for one expression."""
    schema["required"] = list(schema["properties"])


_MEANINGS = {
    "seconds": "More than this fires.",
    "window_seconds": "The time that is looked at.",
    "jobs": "More than this fires.",
    "rows": "More than this fires.",
    "workers": "More than this fires.",
    "ratio": "Dead rows for each live one: more than this fires.",
}
_WHOLE = ("window_seconds", "jobs", "rows", "workers")


def _alert(name: str, severity: Severity, for_seconds: int, **thresholds: float) -> type[BaseModel]:
    """The values of one alert."""
    fields: dict[str, Any] = {
        "severity": (Severity, Field(severity, description="Label severity.")),
        "for_seconds": (int, Field(for_seconds, ge=0, description="Seconds that it must hold.")),
    }
    for key, value in thresholds.items():
        # Two scrapes of 30 s are the least from which a rate can be computed.
        least: dict[str, Any] = {"ge": 120} if key == "window_seconds" else {"ge": 0}
        fields[key] = (int if key in _WHOLE else float, Field(value, description=_MEANINGS[key], **least))
    return create_model(
        name, __config__=_STRICT | {"json_schema_extra": _complete}, __doc__=f"When {name} fires.", **fields
    )


_ALERTS = (
    _alert("JobtidePromiseMissed", "warning", 300),
    _alert("JobtideAllAttemptsFailing", "critical", 120),
    _alert("JobtideDatabaseUnreadable", "critical", 120),
    _alert("JobtideReadingSlow", "warning", 600, seconds=0.5),
    _alert("JobtideReadingStale", "critical", 60, window_seconds=300),
    _alert("JobtideNoLeader", "critical", 180),
    _alert("JobtideTwoLeaders", "critical", 120),
    _alert("JobtidePoolNotReady", "warning", 300),
    _alert("JobtidePoolStalled", "warning", 600),
    _alert("JobtideBacklogGrowsAtMax", "warning", 600, window_seconds=900),
    _alert("JobtideCappedByConnections", "warning", 900),
    _alert("JobtideBusyWorkersLost", "warning", 0, window_seconds=900, workers=2),
    _alert("JobtideRescuesInABurst", "warning", 0, window_seconds=600, jobs=100),
    _alert("JobtideEndsNotWritten", "critical", 60, seconds=30),
    _alert("JobtideLeasesLost", "warning", 0, window_seconds=600, jobs=5),
    _alert("JobtideRowsRefused", "warning", 0, window_seconds=900, rows=0),
    _alert("JobtideTypeUnserved", "warning", 300, jobs=0),
    _alert("JobtideDrainOverTime", "warning", 60, seconds=120),
    _alert("JobtideRetentionBehind", "warning", 300, seconds=21_600),
    _alert("JobtideOldSnapshot", "warning", 300, seconds=3_600),
    _alert("JobtideDeadRows", "warning", 900, rows=100_000, ratio=1),
)
ALERT_NAMES = tuple(model.__name__ for model in _ALERTS)
AlertName = Literal[ALERT_NAMES]  # type: ignore[valid-type]


def alerts() -> type[BaseModel]:
    """All of them, by name."""
    fields: dict[str, Any] = {
        model.__name__: (model, Field(model(), alias=model.__name__, description=f"When {model.__name__} fires."))
        for model in _ALERTS
    }
    return create_model("Alerts", __config__=_STRICT, __doc__="Thresholds of the alerts, by their names.", **fields)
