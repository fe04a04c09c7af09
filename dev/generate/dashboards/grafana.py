"""A dashboard as Grafana 10 and later import it: panels flow from left to right in rows, and get their numbers here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# Of Grafana 11.0. Later versions migrate it; 10 shows it as it is, since nothing here is newer.
SCHEMA_VERSION = 39
COLUMNS = 24
STAT_HEIGHT, GRAPH_HEIGHT = 4, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, RED = "green", "red"
TAG = "jobtide"

Json = dict[str, Any]
# Units of Grafana; `suffix:` is followed by any text, before which Grafana puts a space.
Unit = Literal["none", "short", "s", "bytes", "percentunit", "suffix:jobs/s", "suffix:/min"]


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of PromQL, and the legend of its series."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Values over time. `empty` stands where there are none: what that means."""

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    empty: str
    width: int = 8
    most: float | None = None  # upper end of the axis
    logarithmic: bool = False  # milliseconds and minutes are in one graph
    steps: bool = False  # a value holds until the next; else lines join them
    stacked: bool = False
    limit: str = ""  # regular expression for legends: these lines are limits
    link: tuple[str, str] | None = None  # from a series: title and URL


@dataclass(frozen=True, slots=True)
class Stat:
    """The last value as a number, coloured from each of these values on; `empty` stands where there is none."""

    title: str
    description: str
    unit: Unit
    query: Query
    empty: str
    width: int = 4
    colors: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class States:
    """One bar for each series, coloured by what its value means."""

    title: str
    description: str
    query: Query
    empty: str
    words: tuple[tuple[int, str, str], ...]  # value, word, colour
    width: int = 8
    link: tuple[str, str] | None = None


Panel = Graph | Stat | States


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard: values of a label."""

    name: str
    label: str
    query: str
    several: bool = False  # and `All`
    all_of: str | None = None  # regular expression of All; None: all values that the query finds


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All of it; `uid` is its address in every Grafana."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]


def render(dashboard: Dashboard) -> str:
    """The text of the file."""
    return json.dumps(_document(dashboard), indent=2) + "\n"


def _document(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair in all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "links": [_OTHERS],
        "templating": {"list": [_DATASOURCE_VARIABLE, *map(_variable, dashboard.variables)]},
        "annotations": {"list": []},
        "panels": list(_panels(dashboard.rows)),
    }


_OTHERS: Json = {
    "type": "dashboards",
    "title": "Jobtide",
    "tooltip": "",
    "icon": "external link",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
}

_DATASOURCE_VARIABLE: Json = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "hide": 0,
    "refresh": 1,
    "regex": "",
    "includeAll": False,
    "multi": False,
    "options": [],
}


def _variable(variable: Variable) -> Json:
    made = {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": f"variable-{variable.name}"},
        "refresh": 2,  # when the time range changes, too
        "sort": 1,
        "regex": "",
        "hide": 0,
        "includeAll": variable.several,
        "multi": variable.several,
        "options": [],
    }
    if variable.several:
        made["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    if variable.all_of is not None:
        made["allValue"] = variable.all_of
    return made


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    number, top = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": _height(panel)}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, height = left + panel.width, max(height, _height(panel))
        top += height


def _height(panel: Panel) -> int:
    return STAT_HEIGHT if isinstance(panel, Stat) else GRAPH_HEIGHT


def _panel(panel: Panel) -> Json:
    match panel:
        case Graph():
            return _graph(panel)
        case Stat():
            return _stat(panel)
        case States():
            return _states(panel)


def _common(panel: Panel, kind: str, queries: Sequence[Query], *, instant: bool = False) -> Json:
    return {
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": not instant,
                "instant": instant,
            }
            for place, query in enumerate(queries)
        ],
    }


def _graph(panel: Graph) -> Json:
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if panel.steps else "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 10,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if panel.logarithmic else {"type": "linear"},
    }
    limit = {
        "matcher": {"id": "byRegexp", "options": f"/{panel.limit}/"},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
        ],
    }
    defaults: Json = {
        "unit": panel.unit,
        "noValue": panel.empty,
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "links": _links(panel),
    }
    if not panel.logarithmic:
        defaults["min"] = 0
    if panel.most is not None:
        defaults["max"] = panel.most
    return {
        **_common(panel, "timeseries", panel.queries),
        "fieldConfig": {"defaults": defaults, "overrides": [limit] if panel.limit else []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _links(panel: Graph | States) -> list[Json]:
    return [] if panel.link is None else [{"title": panel.link[0], "url": panel.link[1], "targetBlank": False}]


def _stat(panel: Stat) -> Json:
    steps = [{"value": value, "color": color} for value, color in panel.colors]
    return {
        **_common(panel, "stat", [panel.query], instant=True),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "noValue": panel.empty,
                "color": {"mode": "thresholds"},
                "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": "text"}, *steps]},
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "auto",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def _states(panel: States) -> Json:
    words = {str(value): {"text": word, "color": color, "index": value} for value, word, color in panel.words}
    return {
        **_common(panel, "state-timeline", [panel.query]),
        "fieldConfig": {
            "defaults": {
                "unit": "none",
                "noValue": panel.empty,
                "color": {"mode": "thresholds"},
                "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": "text"}]},
                "mappings": [{"type": "value", "options": words}],
                "custom": {"fillOpacity": 70, "lineWidth": 0},
                "links": _links(panel),
            },
            "overrides": [],
        },
        "options": {
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    }
