"""`jobtide-controller` runs the controller only if it is asked for nothing else."""

from __future__ import annotations

import sys

import pytest

from jobtide import __version__
from jobtide_controller import __main__ as controller


def run(monkeypatch, *arguments):
    """The exit code. No setting can be used, so a controller that starts after all ends at once."""
    monkeypatch.setenv("JOBTIDE_HTTP_PORT", "none")
    monkeypatch.setattr(sys, "argv", ["jobtide-controller", *arguments])
    return controller.main()


def test_without_arguments_the_controller_starts(monkeypatch, capsys):
    assert run(monkeypatch) == 2
    assert "JOBTIDE_HTTP_PORT" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help_prints_the_commands_and_starts_nothing(monkeypatch, capsys, argument):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, argument)

    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: jobtide-controller ")
    assert "simulate" in said
    assert "selftest" in said


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--version")

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jobtide-controller {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--verbose"], ["simulat"], [""], ["--verbose", "simulate"], ["--vers"]],
    ids=["a flag", "a mistyped command", "an empty word", "a flag before a command", "a part of a flag"],
)
def test_an_unknown_argument_is_refused_by_name(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *arguments)

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert arguments[0] in said
    assert "JOBTIDE_HTTP_PORT" not in said


@pytest.mark.parametrize("command", ["simulate", "selftest"])
def test_a_command_has_its_own_help(monkeypatch, capsys, command):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, command, "--help")

    assert ended.value.code == 0
    assert f"{command} [-h]" in capsys.readouterr().out
