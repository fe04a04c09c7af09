"""The blocks of the pages about one subject that need no server: handlers are registered, commands are parsed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobtide import Tide, slot_of
from jobtide.__main__ import _parser
from jobtide_controller.embedded.command import _parser as dev_parser
from jobtide_controller.embedded.pools import PoolsError, of_file
from jobtide_controller.plugin.command import _parser as plugin_parser
from jobtide_controller.render import columns
from jobtide_controller.simulate.arguments import parser as simulate_parser
from tests.pages import (
    ADOPTION,
    DEV,
    FIRST_POOL,
    JOBS,
    PAGE,
    PRODUCERS,
    ROOT,
    SCHEMA,
    SIMULATE,
    WORKER,
    commands,
    shown,
)

# The start of a command, and the parser of what follows.
PROGRAMS = {
    ("jobtide", "dev"): dev_parser,
    ("jobtide",): _parser,
    ("python", "-m", "jobtide_controller", "simulate"): simulate_parser,
}


def parsed(words):
    """What the command's own parser makes of these words; a shell's redirections and pipes are not the command's."""
    words = words[: next((place for place, word in enumerate(words) if word in {"|", "<", ">"}), len(words))]
    start = next(start for start in PROGRAMS if tuple(words[: len(start)]) == start)
    return PROGRAMS[start]().parse_args(words[len(start) :])


# Commands


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param(shown(WORKER, "programs"), 1, id="worker"),
        pytest.param(shown(DEV, "add jobs"), 1, id="dev"),
        pytest.param(shown(ADOPTION, "check and apply"), 3, id="adoption"),
        pytest.param(shown(ADOPTION, "requeue"), 2, id="requeue"),
        pytest.param(shown(SCHEMA, "for a migration"), 2, id="schema"),
        pytest.param(shown(FIRST_POOL, "here"), 2, id="example"),
    ],
)
def test_the_commands_of_a_page_are_accepted_by_their_parsers(text, count):
    assert len([parsed(words) for words in commands(text)]) == count


def test_the_programs_of_the_page_handle_a_type_each():
    (words,) = commands(shown(WORKER, "programs"))
    assert parsed(words).programs == ["thumbs=node thumb.js --size 300", "report=./report.sh"]


def test_the_page_of_dev_installs_the_extra_and_starts_an_application():
    install, start = commands(shown(DEV, "install and start"))
    assert install == ["pip", "install", "../jobtide[dev]"]
    assert parsed(start).app == "acme.jobs:tide"


def test_the_simulations_of_the_page_are_accepted_and_help_is_one(capsys):
    *runs, wanted = commands(shown(SIMULATE, "commands"))
    assert [(found.csv and found.csv.name, found.from_table, found.trace) for found in map(parsed, runs)] == [
        ("jobs.csv", None, None),
        (None, "@url.txt", None),
        (None, None, "burst-short"),
    ]
    with pytest.raises(SystemExit, match="0"):
        parsed(wanted)
    assert "--trace" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "parser"),
    [
        *[pytest.param(line, _parser, id=line[:24]) for line in shown(JOBS, "commands").splitlines()],
        *[pytest.param(line, _parser, id=line[:24]) for line in shown(SCHEMA, "commands").splitlines()],
        pytest.param(shown(JOBS, "command of the plugin"), plugin_parser, id="kubectl jobtide why"),
    ],
)
def test_a_usage_line_names_commands_and_options_that_exist(line, parser, capsys):
    """Of `retry|cancel` each one; its --help has every option of the line."""
    words = re.split(r"[\s\[\]]+", line.removeprefix("kubectl ").removeprefix("jobtide ").strip())
    options = {word for word in words if word.startswith("--")}
    below = [word for word in words[:2] if re.fullmatch(r"[a-z|-]+", word) and not word.startswith("-")]
    for names in below[-1].split("|"):
        with pytest.raises(SystemExit, match="0"):
            parser().parse_args([*below[:-1], names, "--help"])
        printed = capsys.readouterr().out
        assert [option for option in options if option not in printed] == []


# Handlers


def test_the_handler_of_the_page_is_one():
    names = {}
    exec(shown(WORKER, "handler"), names)
    assert set(names["tide"].handlers) == {"mail.send"}


def test_the_handler_in_a_process_has_the_limits_that_the_page_gives_it():
    tide = Tide()
    exec(shown(WORKER, "process"), {"tide": tide})
    handler = tide.handlers["pdf.render"]
    assert (handler.process, handler.timeout_seconds) == (True, 60)
    assert (handler.memory_bytes, handler.recycle_after) == (1_000_000_000, 100)


def test_the_schedule_of_the_page_is_one_in_its_timezone():
    tide = Tide()
    names = {"tide": tide, "TENANT": "6f0d3a52-6f8c-4be4-9d4c-0d8f6f1f3f10", "slot_of": slot_of}
    exec(shown(PRODUCERS, "schedule"), names)
    (schedule,) = tide.schedules
    assert (schedule.type, str(schedule.zone), schedule.payload) == ("report.nightly", "Europe/Berlin", {"full": True})


# What is printed


def test_the_table_on_the_terminal_has_the_columns_of_kubectl():
    heading, row = shown(DEV, "what the terminal shows").rstrip().splitlines()[-2:]
    assert tuple(heading.split()) == columns.head()
    assert len(row.split()) == len(columns.head())


def test_the_refusal_of_a_pool_is_in_the_words_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples/02-choosing-a-promise/pool.yaml").read_text()
    Path("pools.yaml").write_text(re.sub("maxReplicas: .*", "maxReplicas: 3\n  minReplicas: 5", text))
    with pytest.raises(PoolsError) as refused:
        of_file(Path("pools.yaml"))
    assert shown(DEV, "refused pool") == f"jobtide: {refused.value}\n"


def test_the_address_of_the_page_is_printed_like_this():
    source = (ROOT / "controller/jobtide_controller/embedded/app.py").read_text()
    (printed,) = re.findall(r'f"(the page: .*)"', source)
    shape = re.sub(r"\\\{(\w+)\\\}", r"\\S+", re.escape(printed))
    assert re.fullmatch(rf"\d\d:\d\d:\d\d {shape}", shown(PAGE, "address").rstrip())
