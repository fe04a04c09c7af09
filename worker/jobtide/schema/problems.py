"""The problems of a table, as values: facts from the catalogs in, problems out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from jobtide.schema.expected import (
    COLUMNS,
    GRANTS,
    INDEX_KEYS,
    NEEDED_DEFAULTS,
    PEOPLE_COLUMNS,
    STATUS_VALUES,
)
from jobtide.schema.script import index_statement

Facts = Mapping[str, Any]
Part = Literal["worker", "controller"]


class ProblemKind(StrEnum):
    """Why a table can't be used, or is slow."""

    TABLE_MISSING = "TableMissing"
    COLUMN_WRONG = "ColumnWrong"
    ENUM_MISMATCH = "EnumMismatch"
    GRANT_MISSING = "GrantMissing"
    INDEX_MISSING = "IndexMissing"
    RLS_HIDES_ROWS = "RLSHidesRows"
    STANDBY = "Standby"
    ENCODING_WRONG = "EncodingWrong"
    TENANTS_MAY_FORGE = "TenantsMayForge"


@dataclass(frozen=True, slots=True)
class Problem:
    """The message names what was found, what it means, and the fix."""

    kind: ProblemKind
    message: str
    fatal: bool = True


def shape_problems(facts: Facts) -> tuple[Problem, ...]:
    """The contradictions between the contract and an existing table, or the tables and types that it needs."""
    return tuple(_shape(facts))


def use_problems(facts: Facts, part: Part) -> tuple[Problem, ...]:
    """Everything that keeps this role from working on the table as `part`, or makes it slow."""
    table = facts["table"]
    if table is None:
        standby = _standby(facts) if facts["in_recovery"] else ()
        return (*standby, *_encoding(facts), _table_missing(facts))
    problems = [*_standby(facts), *_shape(facts)]
    if not any(problem.kind is ProblemKind.COLUMN_WRONG and problem.fatal for problem in problems):
        problems += _grants(facts, part)
    problems += _visibility(facts)
    problems += index_problems(table)
    return tuple(problems)


def index_problems(table: Facts) -> Iterator[Problem]:
    """Never fatal: without an index everything stays correct, but slow."""
    for name, keys in INDEX_KEYS.items():
        index = table["indexes"].get(name)
        if index is None:
            yield _index(f"index {name} is missing, so claims and readings are slow: {index_statement(name)}")
        elif not index["valid"]:
            yield _index(
                f"index {name} is invalid (its build was interrupted): run jobtide schema apply, "
                f"or DROP INDEX CONCURRENTLY {name}; {index_statement(name)}"
            )
        elif tuple(index["keys"]) != keys:
            yield _index(
                f"index {name} is not the expected one ({index['definition']}): "
                f"rename or drop it, then {index_statement(name)}"
            )


def wall_problems(facts: Facts) -> Iterator[Problem]:
    """What a tenant's user may write beyond a waiting job. Never fatal: a forged row harms its own tenant most."""
    table = facts["table"]
    if table is None:
        return
    if table["forgers"]:
        yield Problem(
            ProblemKind.TENANTS_MAY_FORGE,
            f"role {', '.join(table['forgers'])} may write columns of {table['schema']}.job_queue that workers and "
            "controller work by, such as status and worker_id, so a tenant's user can forge running and finished jobs: "
            "jobtide schema apply --tenant-walls, if no client writes these columns with that role",
            fatal=False,
        )
    if facts["unsafe_functions"]:
        yield Problem(
            ProblemKind.TENANTS_MAY_FORGE,
            f"function {', '.join(facts['unsafe_functions'])} runs with its owner's rights and looks for types in the "
            "caller's pg_temp first: ALTER FUNCTION ... SET search_path = pg_catalog, pg_temp, as its owner",
            fatal=False,
        )


def _index(message: str) -> Problem:
    return Problem(ProblemKind.INDEX_MISSING, message, fatal=False)


def _table_missing(facts: Facts) -> Problem:
    return Problem(
        ProblemKind.TABLE_MISSING,
        f"no table job_queue for role {facts['role']} in database {facts['database']} with search_path "
        f"{facts['search_path']}: run jobtide schema apply, or set search_path to its schema and grant USAGE on it",
    )


def _standby(facts: Facts) -> Iterator[Problem]:
    if facts["in_recovery"]:
        yield Problem(
            ProblemKind.STANDBY,
            f"the server of database {facts['database']} is a read-only standby: connect to the primary",
        )


def _encoding(facts: Facts) -> Iterator[Problem]:
    if facts["encoding"] != "UTF8":
        yield Problem(
            ProblemKind.ENCODING_WRONG,
            f"database {facts['database']} has the encoding {facts['encoding']}, which can't store every payload and "
            "result: create a database WITH ENCODING 'UTF8' TEMPLATE template0, and move the tables there",
        )


def _shape(facts: Facts) -> Iterator[Problem]:
    yield from _encoding(facts)
    yield from _status_values(facts)
    if facts["table"] is None:
        yield from _people(facts)
        yield from _hidden_people(facts)
    else:
        yield from _columns(facts["table"], is_enum=facts["status_values"] is not None)


def _status_values(facts: Facts) -> Iterator[Problem]:
    name, values = facts["status_type"], facts["status_values"]
    if name is None:
        return
    if values is None and facts["table"] is None:
        yield Problem(
            ProblemKind.ENUM_MISMATCH,
            f"type {name} exists and is no enum: rename it, or put another schema first in search_path",
        )
    missing = [value for value in STATUS_VALUES if values is not None and value not in values]
    if missing:
        yield Problem(
            ProblemKind.ENUM_MISMATCH,
            f"enum {name} has no {', '.join(missing)} (it has: {', '.join(values)}): "
            + " ".join(f"ALTER TYPE {name} ADD VALUE '{value}';" for value in missing),
        )


def _people(facts: Facts) -> Iterator[Problem]:
    """tenants and users matter only if the table and its policies do not exist yet."""
    for table, columns in PEOPLE_COLUMNS.items():
        found = facts[table]
        for name, wanted in columns.items() if found is not None else ():
            actual = found[name]["type"] if name in found else "missing"
            if actual != wanted:
                yield Problem(
                    ProblemKind.COLUMN_WRONG,
                    f"column {table}.{name} is {actual}, and job_queue's keys and policies need {wanted}: "
                    f"add or change the column, or put another schema with its own {table} first in search_path",
                )


def _hidden_people(facts: Facts) -> Iterator[Problem]:
    """The policies look up a user's tenant with the rights of the role that runs apply."""
    users = facts["users"]
    if users is None:
        return
    unreadable = [n for n in PEOPLE_COLUMNS["users"] if n in users and "SELECT" not in users[n]["grants"]]
    if unreadable:
        yield Problem(
            ProblemKind.GRANT_MISSING,
            f"role {facts['role']} can't read {', '.join(unreadable)} of users, so the policies could not either: "
            "apply as the owner of users",
        )
    elif facts["users_hidden"]:
        yield Problem(
            ProblemKind.RLS_HIDES_ROWS,
            f"row level security hides rows of users from role {facts['role']}, so the policies would find no tenant: "
            "apply as the owner of users",
        )


def _columns(table: Facts, *, is_enum: bool) -> Iterator[Problem]:
    where = f"{table['schema']}.job_queue"
    if table["kind"] != "r":
        yield Problem(ProblemKind.COLUMN_WRONG, f"{where} is no plain table: rename it, then jobtide schema apply")
        return
    columns = table["columns"] or {}
    for name, wanted in COLUMNS.items():
        column = columns.get(name)
        if column is None:
            yield Problem(
                ProblemKind.COLUMN_WRONG,
                f"column {where}.{name} is missing: ALTER TABLE {where} ADD COLUMN {name} {wanted};",
            )
        elif name == "status" and not is_enum:
            yield _type_wrong(where, name, column["type"], "the enum job_status")
        elif name != "status" and column["type"] != wanted:
            yield _type_wrong(where, name, column["type"], wanted)
        elif name in NEEDED_DEFAULTS and not column["has_default"]:
            yield Problem(
                ProblemKind.COLUMN_WRONG,
                f"column {where}.{name} has no default, so plain inserts must name it: "
                f"ALTER TABLE {where} ALTER COLUMN {name} SET DEFAULT {NEEDED_DEFAULTS[name]};",
                fatal=False,
            )
    if "id" in columns and not any(i["unique"] and i["keys"] == ["id"] for i in table["indexes"].values()):
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"column {where}.id is not unique, so jobs could share an id: ALTER TABLE {where} ADD PRIMARY KEY (id);",
        )


def _type_wrong(where: str, name: str, actual: str, wanted: str) -> Problem:
    return Problem(
        ProblemKind.COLUMN_WRONG,
        f"column {where}.{name} is {actual}, expected {wanted}: "
        f"ALTER TABLE {where} ALTER COLUMN {name} TYPE ... USING ..., with its readers and writers in mind",
    )


def _grants(facts: Facts, part: Part) -> Iterator[Problem]:
    table = facts["table"]
    for privilege, columns in GRANTS[part].items():
        missing = [name for name in columns if privilege not in table["columns"][name]["grants"]]
        if missing:
            yield Problem(
                ProblemKind.GRANT_MISSING,
                f"role {facts['role']} lacks {privilege} on {', '.join(missing)} of {table['schema']}.job_queue: "
                f"GRANT jobtide_{part} TO {facts['role']}; (made by jobtide schema apply --roles)",
            )


def _visibility(facts: Facts) -> Iterator[Problem]:
    table = facts["table"]
    if not table["rls_active"] or (table["can_see"] and table["can_change"]):
        return
    verb = "change" if table["can_see"] else "see"
    yield Problem(
        ProblemKind.RLS_HIDES_ROWS,
        f"row level security stops role {facts['role']}: no policy of {table['schema']}.job_queue lets it {verb} "
        f"every row, and what it can't {verb} is silently left out. Use a role in jobtide_worker or "
        "jobtide_controller (made by jobtide schema apply --roles), or one with BYPASSRLS",
    )
