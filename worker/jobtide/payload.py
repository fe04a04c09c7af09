"""Payloads: checked before they are stored, and typed by the handler's annotation when they come back.

Typing is pydantic's work, and only where it is asked for.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from jobtide.errors import Fail
from jobtide.job import Json

Validator = Callable[[Json], Any]
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# jsonb can't hold U+0000; an even number of backslashes before it means an escaped backslash, not this character.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_UNTYPED: tuple[object, ...] = (Any, object, dict, list, inspect.Parameter.empty, dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class Malformed:
    """What stands for JSON that PostgreSQL stores and Python refuses: its job fails, others must not."""

    why: str


def read_json(text: str | bytes) -> Json:
    """The value, or Malformed: a number of thousands of digits, or thousands of levels.

    The server writes jsonb in UTF-8 and without spaces around it, which json.loads takes 3 us to find out.
    """
    try:
        return _DECODER.raw_decode(text if isinstance(text, str) else text.decode())[0]
    except (ValueError, RecursionError) as wrong:
        return Malformed(str(wrong))


def json_text(value: Json, what: str) -> str:
    """JSON that jsonb takes. Raises ValueError with what is wrong: no JSON type, NaN, NUL, half a character."""
    if value is None:  # what most handlers return
        return "null"
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as wrong:
        raise ValueError(f"{what} is not a JSON value: {wrong}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError(f"{what} holds the character U+0000, which PostgreSQL's jsonb can't store")
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as wrong:
        raise ValueError(f"{what} holds half a surrogate pair, which is no character: {wrong.reason}") from None
    return text


def json_value(payload: Any) -> Json:
    """A pydantic model as the JSON value that its handler will get; anything else as it is."""
    return payload.model_dump(mode="json") if hasattr(payload, "model_dump") else payload


def validator_for(type_: str, function: Callable[..., Any]) -> Validator | None:
    """A function that turns the JSON payload into what the handler's first parameter is annotated with.

    None where the annotation promises nothing. The validator raises Fail, with each field's error in words.
    """
    annotation = _annotation(type_, function)
    if annotation in (dict, list, dict[str, Any], list[Any]):
        return _instance_of(dict if annotation in (dict, dict[str, Any]) else list)
    if annotation in _UNTYPED:
        return None
    try:
        from pydantic import TypeAdapter, ValidationError
    except ImportError:
        raise ValueError(
            f"job type {type_!r}: its payload is annotated {annotation!r}, which needs pydantic: "
            "add pydantic to the image, or annotate the payload as dict"
        ) from None
    adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", annotation))

    def validate(payload: Json) -> Any:
        try:
            return adapter.validate_python(payload)
        except ValidationError as invalid:
            raise Fail(f"payload is not valid: {_in_words(invalid)}") from None

    return validate


def _annotation(type_: str, function: Callable[..., Any]) -> object:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.annotation is inspect.Parameter.empty:
        return Any
    try:
        return typing.get_type_hints(function).get(first.name, Any)
    except NameError as unknown:
        raise ValueError(f"job type {type_!r}: the payload's annotation can't be resolved: {unknown}") from None


def _instance_of(expected: type) -> Validator:
    name = {"dict": "an object", "list": "an array"}[expected.__name__]

    def validate(payload: Json) -> Any:
        if isinstance(payload, expected):
            return payload
        raise Fail(f"payload is not valid: expected {name}, got {type(payload).__name__}")

    return validate


def _in_words(invalid: Any) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'payload'}: {error['msg']}" for error in invalid.errors()
    )
