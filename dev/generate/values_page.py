"""docs/values.md: every value of the chart, from its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dev.generate import values

_INTRO = """\
# Values of the chart

Generated from the chart's schema by `make generate`. [install.md](install.md) explains the common ones; Helm refuses a
value that is not here.

| value | type | default | limits | meaning |
|---|---|---|---|---|
"""


def render() -> str:
    """The text of docs/values.md."""
    schema = json.loads(values.render())
    return _INTRO + "".join(_rows(schema, schema["$defs"], ""))


def _rows(node: Mapping[str, Any], known: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in node.get("properties", {}).items():
        found = _resolved(field, known)
        if "properties" not in found:
            yield _row(f"{path}{name}", found)
        yield from _rows(found, known, f"{path}{name}.")
        for item, below in ((found.get("items"), "[]."), (_named(found), ".NAME.")):
            if item:
                yield from _rows(_resolved(item, known), known, f"{path}{name}{below}")


def _resolved(node: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node with what its reference leads to; what it says itself comes first."""
    name = node.get("$ref", "").removeprefix("#/$defs/")
    return {**known[name], **node} if name else node


def _named(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What each value of an object with free keys is."""
    found = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return next((item for item in found if isinstance(item, Mapping)), None)


def _row(path: str, node: Mapping[str, Any]) -> str:
    default = f"`{json.dumps(node['default'])}`" if "default" in node and node["default"] is not None else ""
    text = node.get("description", "").replace("|", "\\|")
    return f"| `{path}` | {_type(node)} | {default} | {_limits(node)} | {text} |\n"


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(option) for option in node["anyOf"]))
    return str(node.get("type", "any"))


def _limits(node: Mapping[str, Any]) -> str:
    words = {"minimum": "at least {}", "maximum": "at most {}", "maxLength": "at most {} characters"}
    return ", ".join(text.format(node[name]) for name, text in words.items() if name in node)
