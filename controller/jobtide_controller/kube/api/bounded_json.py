"""Answers of the API server as values, in bounded memory and at any depth: one object must not cost the others.

Parsed, JSON takes up to thirty times its length, and Python's parser ends with an error at a thousand levels. Objects
of users may have 1.5 MB and ten thousand levels. So a large or deep answer is parsed object by object, and a field
that is too large or too deep is not kept; of a pool's template, its size stays.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jobtide_controller.api.faults import CUT, TEMPLATE_BYTES, TEMPLATE_DEPTH, levels_of

Json = Any

WHOLE_BYTES = 2_000_000  # of an answer that is parsed as it is: a hundred objects of a usual size are half of it
FIELD_BYTES = 2 * TEMPLATE_BYTES
FIELD_DEPTH = 2 * TEMPLATE_DEPTH
PLAIN_BRACKETS = 500  # so few can't be nested too deeply for any parser

_ITEMS = '"items":['
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[][{}]')
_OPENS = "{["
_FIELD_LEVEL = 3  # object, spec, template

_decoder = json.JSONDecoder()


def parse(raw: bytes) -> Json:
    """The value of an answer: an object, or a page of objects. Raises ValueError for no JSON."""
    if len(raw) <= WHOLE_BYTES:
        try:
            return json.loads(raw)
        except RecursionError:
            pass
    text = raw.decode()
    return _page(text) if _ITEMS in text[:1_000] else _object(text, 0)[0]


def bounded_event(raw: bytes) -> bytes:
    """One event of a watch, with an object that any parser reads in bounded memory."""
    if len(raw) <= FIELD_BYTES and raw.count(b"{") + raw.count(b"[") <= PLAIN_BRACKETS:
        return raw
    text = raw.decode()
    start = text.index('"object":') + len('"object":')
    found, end = _object(text, start)
    return f"{text[:start]}{json.dumps(found)}{text[end:]}".encode()


def _page(text: str) -> Json:
    """The items come first or after the list's own metadata, which has no such field."""
    start = at = text.index(_ITEMS) + len(_ITEMS)
    items = []
    while text[at] != "]":
        item, at = _object(text, at)
        items.append(item)
        at += text[at] == ","
    return {**json.loads(text[:start] + text[at:]), "items": items}


def _object(text: str, start: int) -> tuple[Json, int]:
    """The object that begins here, without the fields that are too large or too deep, and where it ends."""
    try:
        found, end = _decoder.raw_decode(text, start)
    except RecursionError:
        shallow, end = _without_deep_fields(text, start)
        found = json.loads(shallow)
    # What can just be parsed here can't be written again, or parsed by kopf, whose calls are nested more deeply.
    if isinstance(found, dict) and (end - start > FIELD_BYTES // 2 or levels_of(found) > FIELD_DEPTH):
        for part in found.values():
            if isinstance(part, dict):
                _shorten(part)
    return found, end


def _shorten(part: dict[str, Json]) -> None:
    """Of metadata, spec or status."""
    for name, value in part.items():
        if isinstance(value, dict | list):
            levels = levels_of(value)
            size = _size(value) if levels <= FIELD_DEPTH else 0
            if levels > FIELD_DEPTH or size > FIELD_BYTES:
                part[name] = _left(name, size, levels)


def _without_deep_fields(text: str, start: int) -> tuple[str, int]:
    """The same as text, for an object that is too deep to be parsed first."""
    kept: list[str] = []
    copied_to, level, deepest, began, name, last = start, 0, 0, start, "", ""
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        if token[0] == '"':
            last = token
        elif token in _OPENS:
            level += 1
            deepest = max(deepest, level)
            if level == _FIELD_LEVEL:
                name, began, deepest = last, match.start(), level
        else:
            levels = deepest - level + 1
            if level == _FIELD_LEVEL and levels > FIELD_DEPTH:
                kept += (text[copied_to:began], json.dumps(_left(name.strip('"'), match.end() - began, levels)))
                copied_to = match.end()
            level -= 1
            if level == 0:
                return "".join((*kept, text[copied_to : match.end()])), match.end()
    raise ValueError("the answer ends within an object")


def _left(name: str, size: int, levels: int) -> Json:
    """What stays of a field: faults.py refuses such a template in the words of its limits."""
    return {CUT: [size, levels]} if name == "template" else None


def _size(value: Json) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
