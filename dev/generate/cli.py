"""docs/cli.md: every command with its arguments, from the parsers that the commands use."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

from jobtide.__main__ import ELSEWHERE

_INTRO = """\
# Commands

Generated from the commands' own parsers by `make generate`; `--help` after each command shows the same.
The variables of the environment that a worker reads are in [worker.md](worker.md#settings).
"""
# Modules with a function `_parser`. Those of ELSEWHERE stand in the place of the names that `jobtide` knows of them.
_PROGRAMS = ("jobtide.__main__", "jobtide_controller.plugin.command")


def render() -> str:
    """The text of docs/cli.md."""
    tables = (table for module in _PROGRAMS for table in _commands(_parser(module)))
    return "\n".join([_INTRO, *tables])


def _parser(module: str) -> argparse.ArgumentParser:
    made = vars(import_module(module))["_parser"]()
    assert isinstance(made, argparse.ArgumentParser)
    return made


def _commands(parser: argparse.ArgumentParser, purpose: str = "") -> Iterator[str]:
    """The command and those below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield f"## `{parser.prog}`\n\n{_sentence(parser.description or purpose)}\n\n{_table(parser)}"
    for action in below:
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, command in action.choices.items():
            yield from _commands(_parser(ELSEWHERE[name][0]) if name in ELSEWHERE else command, helps[name])


def _table(parser: argparse.ArgumentParser) -> str:
    usual = (argparse._HelpAction, argparse._VersionAction)
    actions = [action for action in parser._actions if not isinstance(action, usual)]
    rows = [f"| {_names(action)} | {_meaning(action)} |" for action in actions]
    return "\n".join(["| argument | meaning |", "|---|---|", *rows, ""])


def _names(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return ", ".join(f"`{name}`" for name in action.choices)
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    takes = f" {value}" if action.nargs != 0 else ""
    return ", ".join(f"`{name}{takes}`" for name in action.option_strings) or f"`{value}`"


def _meaning(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "one of these commands"
    choices = f": {', '.join(action.choices)}" if action.choices else ""
    return f"{(action.help or '') % vars(action)}{choices}".replace("|", "\\|")


def _sentence(text: str) -> str:
    """Descriptions are sentences; the help of a command is the start of one."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."
