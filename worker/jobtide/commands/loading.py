"""Loads the Tide that `module:attribute` names, with its own error for each way to fail."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from jobtide.errors import AttributeWrong, LoadError, ModuleMissing, NoHandlers
from jobtide.tide import Tide


def load_tide(target: str) -> Tide:
    """Imports the application. Raises LoadError; errors of its own import pass through with their traceback."""
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or not attribute:
        raise LoadError(f"{target!r} is not of the form module:attribute; for example acme.jobs:tide")
    _require_module(module_name)
    module = import_module(module_name)
    if not hasattr(module, attribute):
        tides = [name for name, value in vars(module).items() if isinstance(value, Tide)]
        hint = f"; it has {', '.join(tides)}" if tides else "; define one with: tide = jobtide.Tide()"
        raise AttributeWrong(f"module {module_name!r} ({module.__file__}) has no attribute {attribute!r}{hint}")
    tide = getattr(module, attribute)
    if not isinstance(tide, Tide):
        raise AttributeWrong(f"{target} is a {type(tide).__name__}, not a jobtide.Tide")
    if not tide.handlers:
        raise NoHandlers(f"{target} has no handlers; register one with @{attribute}.job('type') in that module")
    return tide


def choose_types(tide: Tide, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The types to claim: the pool's, or all that have a handler.

    Raises NoHandlers if a type of the pool has no handler: its jobs would wait indefinitely.
    """
    if wanted is None:
        return tuple(tide.handlers)
    missing = [name for name in wanted if name not in tide]
    if missing:
        raise NoHandlers(
            f"the pool asks for {', '.join(map(repr, missing))} (JOBTIDE_TYPES), but the application only has "
            f"handlers for {', '.join(map(repr, tide.handlers))}: add a handler, or remove the type from spec.types"
        )
    return wanted


def _require_module(module_name: str) -> None:
    parts = module_name.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if find_spec(name) is None:
            looked = ", ".join(sys.path[:3])
            raise ModuleMissing(f"there is no module {name!r}; looked in {looked} and the installed packages")
