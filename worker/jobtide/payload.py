"""Typed payloads: the handler's annotation decides, pydantic does the work, and only where it is asked for."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, cast

from jobtide.errors import Fail
from jobtide.job import Json

Validator = Callable[[Json], Any]
_UNTYPED: tuple[object, ...] = (Any, object, dict, list, inspect.Parameter.empty, dict[str, Any], list[Any])


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
