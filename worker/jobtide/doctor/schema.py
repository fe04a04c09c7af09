"""The checks of the table: those of start-ups, and what `jobtide schema apply` of this version would add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobtide._version import __version__
from jobtide.doctor.findings import Finding, of_problems
from jobtide.doctor.link import Link
from jobtide.schema import Part, ProblemKind
from jobtide.schema.check import limits_problems
from jobtide.schema.problems import Facts, use_problems, wake_note, wall_problems
from jobtide.schema.script import INDEXES, ROLES_FILE, WAKE_FILE, statement
from jobtide.sql import load

_SHAPE = {ProblemKind.TABLE_MISSING, ProblemKind.COLUMN_WRONG, ProblemKind.ENUM_MISMATCH}
_OF_ANY = (
    ("server", {ProblemKind.STANDBY}, "it is the primary, which can be written to"),
    ("encoding", {ProblemKind.ENCODING_WRONG}, "UTF8"),
)
_OF_THE_TABLE = (
    ("table", _SHAPE, "job_queue has the columns, types and states of the contract"),
    ("grants", {ProblemKind.GRANT_MISSING}, "the role has every right that it uses"),
    ("rls", {ProblemKind.RLS_HIDES_ROWS}, "row level security hides no row from the role"),
    ("index", {ProblemKind.INDEX_MISSING}, f"all {len(INDEXES)} are there"),
)


def is_table(facts: Facts) -> bool:
    """Whether there is a job_queue, and it is a plain table."""
    return facts["table"] is not None and facts["table"]["kind"] == "r"


def check_findings(facts: Facts, part: Part) -> Iterator[Finding]:
    """Of a table that can't be used, its rights and indexes are not judged."""
    problems = use_problems(facts, part)
    is_usable = is_table(facts) and not any(one.fatal and one.kind in _SHAPE for one in problems)
    for name, kinds, well in (*_OF_ANY, *_OF_THE_TABLE):
        found = [problem for problem in problems if problem.kind in kinds]
        if found or is_usable or (name, kinds, well) in _OF_ANY:
            yield from of_problems(name, found, well)
    if is_table(facts):
        yield from of_problems("tenants", wall_problems(facts), "tenants' users can't forge running jobs")
        note = wake_note(facts)
        yield Finding("wake", "note", note) if note else Finding("wake", "ok", "an INSERT wakes idle workers")


def version_findings(link: Link, facts: Facts) -> Iterator[Finding]:
    """What `jobtide schema apply --roles` of this version would add."""
    missing = ", ".join(_missing(facts, link.row(load("jobtide.doctor", "sql/additions"))))
    if missing:
        text = f"jobtide schema apply --roles of {__version__} would add {missing}: run it as the table's owner"
        yield Finding("schema", "warning", text)
    else:
        yield Finding("schema", "ok", f"as {__version__} makes it")


def limits_findings(link: Link, part: Part) -> Iterator[Finding]:
    """The tables with the limits of tenants, and for the controller their view."""
    with link.bounded() as connection:
        problems = tuple(limits_problems(connection, part))
    yield from of_problems("limits", problems, "limits of tenants change at once")


def _missing(facts: Facts, found: Mapping[str, Any]) -> Iterator[str]:
    """What is absent altogether; wrong indexes, rights and limits have lines of their own."""
    yield from (f"index {name}" for name in INDEXES if name not in facts["table"]["indexes"])
    body = re.search(r"\$body\$(.*?)\$body\$", statement(WAKE_FILE), re.DOTALL)
    assert body is not None
    if found["wake"] is not None and found["wake"] != body[1]:
        yield "a newer function jobtide_wake"
    roles = statement(ROLES_FILE)
    names = dict.fromkeys(re.findall(r"CREATE ROLE (jobtide_\w+)", roles))
    yield from (f"role {name}" for name in names if name not in found["roles"])
    policies = dict.fromkeys(re.findall(r"CREATE POLICY (\w+)", roles))
    if not names.keys() - set(found["roles"]):
        yield from (f"policy {name}" for name in policies if name not in found["policies"])
