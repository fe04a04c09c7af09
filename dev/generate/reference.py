"""docs/reference.md: every field of the resource, with its type, default and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobtide_controller.api.crd import COLUMNS, crd

_INTRO = """\
# JobWorkerPool: every field

Generated from the resource's models by `make generate`; `kubectl explain jwp.spec` shows the same.
"""


def render() -> str:
    """Returns the text of docs/reference.md: one table for spec, one for status, one for the columns."""
    properties = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parts = [_INTRO]
    for section in ("spec", "status"):
        parts += [f"## {section}\n", _table(properties[section], section)]
    parts += ["## Columns of `kubectl get jwp`\n", _columns()]
    return "\n".join(parts)


def _table(schema: Mapping[str, Any], path: str) -> str:
    lines = ["| field | type | default | limits | meaning |", "|---|---|---|---|---|"]
    lines += [_row(field, value) for field, value in _fields(schema, path)]
    return "\n".join(lines) + "\n"


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in schema.get("properties", {}).items():
        yield f"{path}.{name}", value
        if value["type"] == "array":
            yield from _fields(value["items"], f"{path}.{name}[]")
        else:
            yield from _fields(value, f"{path}.{name}")


def _row(field: str, schema: Mapping[str, Any]) -> str:
    default = schema.get("default", "")
    default_cell = "" if default in ("", {}) else f"`{default}`".replace("False", "false")
    text = _cell(schema.get("description", ""))
    return f"| `{field}` | {_type(schema)} | {default_cell} | {_limits(schema)} | {text} |"


def _type(schema: Mapping[str, Any]) -> str:
    if schema["type"] == "array":
        return f"list of {schema['items']['type']}"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return str(schema.get("format", schema["type"])) if schema["type"] == "string" else str(schema["type"])


def _limits(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    if "minimum" in schema:
        return f"at least {schema['minimum']}"
    if "maxItems" in schema:
        return f"at most {schema['maxItems']}"
    return ""


def _columns() -> str:
    lines = ["| column | from | meaning |", "|---|---|---|"]
    for column in COLUMNS:
        wide = " (`-o wide`)" if column.priority else ""
        lines.append(f"| {column.name.upper()}{wide} | `{column.path}` | {column.description} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
