"""Payloads: checked before they are stored, and validated by the handler's annotation before it runs.

pydantic validates; it is imported only if an annotation needs it.
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
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_MOST_ERRORS_LISTED = 1_000
_ERRORS_DESCRIBED = 20
_LOCATION_CHARS = 200
_UNTYPED: tuple[object, ...] = (Any, object, dict, list, inspect.Parameter.empty, dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class Malformed:
    """Replaces JSON that PostgreSQL stores and Python refuses: only the job that has it fails."""

    why: str


def read_json(text: str | bytes) -> Json:
    """The value; Malformed for a number with thousands of digits, or thousands of levels.

    The server sends jsonb in UTF-8 without spaces around it; json.loads would take 3 us to detect that.
    """
    try:
        return _DECODER.raw_decode(text if isinstance(text, str) else text.decode())[0]
    except (ValueError, RecursionError) as wrong:
        return Malformed(str(wrong))


def json_text(value: Json, what: str) -> str:
    """JSON text that jsonb accepts. Raises ValueError for: no JSON type, NaN, U+0000, half a surrogate pair.

    The message calls the value `what`.
    """
    if value is None:  # as most handlers return
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


def in_ascii(text: str) -> str:
    """The same JSON with \\u escapes: it arrives unchanged, whatever client_encoding the caller's connection has."""
    return text if text.isascii() else _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def json_value(payload: Any) -> Json:
    """A pydantic model as the JSON value that its handler gets; any other value unchanged."""
    return payload.model_dump(mode="json") if hasattr(payload, "model_dump") else payload


def validator_for(type_: str, function: Callable[..., Any]) -> Validator | None:
    """A function that converts the JSON payload to the annotation of the handler's first parameter.

    None if the annotation accepts any JSON. The function raises Fail with the error of each field. Raises ValueError
    if the annotation can't be resolved, or needs pydantic and there is none.
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
            raise Fail(f"payload is not valid: {_described(invalid)}") from None

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


def _described(invalid: Any) -> str:
    """The first errors: a million of them, as a payload of a few megabytes may have, would fill the memory."""
    count = invalid.error_count()
    if count > _MOST_ERRORS_LISTED:
        return f"{count} errors, too many to list"
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)
    described = [f"{_where(error['loc'])}: {error['msg']}" for error in errors[:_ERRORS_DESCRIBED]]
    more = [f"and {count - _ERRORS_DESCRIBED} more"] if count > _ERRORS_DESCRIBED else []
    return "; ".join(described + more)


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)[:_LOCATION_CHARS] or "payload"
