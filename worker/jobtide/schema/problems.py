"""The problems of a table, as values: facts from the catalogs in, problems out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from jobtide.schema.expected import (
    CHANGED,
    COLUMNS,
    EMPTIED,
    GRANTS,
    INDEX_KEYS,
    INSERTED,
    NEEDED_DEFAULTS,
    PEOPLE_COLUMNS,
    STATUS_TYPE,
    STATUS_VALUES,
)
from jobtide.schema.script import index_statement

_MEMBERSHIPS_INHERIT = 160_000  # server_version_num
# A table with more contradictions than this is probably another application's.
_MOST_CONTRADICTIONS = 2

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
    # Found by `jobtide schema check` alone:
    LIMITS_NOT_STORED = "LimitsNotStored"
    LIMITS_VIEW_UNUSABLE = "LimitsViewUnusable"
    # Found only by a trial (see jobtide.queue.trial), never in the catalogs:
    WRITE_REFUSED = "WriteRefused"
    WRITE_IGNORED = "WriteIgnored"
    NOT_TRIED = "NotTried"


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
    if table["kind"] != "r":
        return tuple(problems)
    if not any(problem.kind is ProblemKind.COLUMN_WRONG and problem.fatal for problem in problems):
        problems += _grants(facts, part)
    problems += _visibility(facts, part)
    problems += _surroundings(facts)
    problems += index_problems(facts)
    return tuple(problems)


def index_problems(facts: Facts) -> Iterator[Problem]:
    """Never fatal: without an index everything stays correct, but slow."""
    table = facts["table"]
    for name in INDEX_KEYS:
        index = table["indexes"].get(name)
        if has_index(table, name):
            continue
        if index is None and name in facts["taken_names"]:
            yield _index(f"index {name} is missing, so claims and readings are slow. {_name_taken(facts, name)}")
        elif index is None:
            yield _index(f"index {name} is missing, so claims and readings are slow: {index_statement(name)}")
        elif not index["valid"]:
            yield _index(
                f"index {name} is invalid (its build was interrupted): run jobtide schema apply, "
                f"or DROP INDEX CONCURRENTLY {name}; {index_statement(name)}"
            )
        elif not _is_wanted(index, name):
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


def wake_note(facts: Facts) -> str | None:
    """Why an INSERT does not wake idle workers, and how it would; None if it does. Everything works without."""
    wake = facts["table"] and facts["table"]["wake"]
    if wake == "on":
        return None
    if wake == "prepared":
        return (
            "max_prepared_transactions is not 0, and a transaction that notified can't be prepared, so inserts wake no "
            f"idle worker: ALTER DATABASE {facts['database_name']} SET jobtide.wake = 'on', if no client that inserts "
            "jobs uses PREPARE TRANSACTION"
        )
    return (
        "trigger jobtide_wake is missing or disabled, so idle workers find jobs by polling: "
        "jobtide schema apply adds it"
    )


def has_index(table: Facts, name: str) -> bool:
    """Whether the table has this index, valid, under its own name or another one."""
    if name in table["indexes"] and not table["indexes"][name]["valid"]:
        return False
    return any(index["valid"] and _is_wanted(index, name) for index in table["indexes"].values())


def _is_wanted(index: Facts, name: str) -> bool:
    wanted = _bare_predicate(index_statement(name).partition(" WHERE ")[2].rstrip(";"))
    return tuple(index["keys"]) == INDEX_KEYS[name] and _bare_predicate(index["predicate"] or "") == wanted


def _bare_predicate(text: str) -> str:
    """`(status = 'pending'::app.job_status)` as `status = 'pending'`."""
    return re.sub(r"::[\w.\"]+|[()]", "", text).strip()


def _name_taken(facts: Facts, name: str) -> str:
    owner = facts["taken_names"][name]
    schema = facts["table"]["schema"] if facts["table"] else facts["current_schema"]
    return (
        f"Its name belongs to {owner}, perhaps a table that was renamed. Free the name: "
        f"ALTER INDEX {schema}.{name} RENAME TO {name}_old; then run jobtide schema apply"
    )


def _index(message: str) -> Problem:
    return Problem(ProblemKind.INDEX_MISSING, message, fatal=False)


def _table_missing(facts: Facts) -> Problem:
    closed = [other["schema"] for other in facts["elsewhere"] if not other["usable"]]
    open_ = [other["schema"] for other in facts["elsewhere"] if other["usable"]]
    advice = "run jobtide schema apply, or set search_path to its schema and grant USAGE on it"
    if open_:
        advice = f"{', '.join(open_)} has one; if it is the one: {_use_schema(facts, open_[0])}"
    elif closed:
        advice = (
            f"{', '.join(closed)} has one, but the role lacks USAGE on that schema; if it is the one: "
            f"GRANT USAGE ON SCHEMA {closed[0]} TO {facts['role_name']}; (grant USAGE, then search_path must name it)"
        )
    return Problem(
        ProblemKind.TABLE_MISSING,
        f"no table job_queue for role {facts['role']} in database {facts['database']} with search_path "
        f"{facts['search_path']}: {advice}",
    )


def _use_schema(facts: Facts, schema: str, *, first: bool = True) -> str:
    """The statement that puts a schema into the role's search_path: last if nothing there hides what is meant."""
    path = [schema, facts["search_path"]] if first else [facts["search_path"], schema]
    return (
        f"ALTER ROLE {facts['role_name']} SET search_path = {', '.join(filter(None, path))}; "
        "(or options=-csearch_path in the URL)"
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
    table = facts["table"]
    if table is None:
        yield from _status_values(facts)
        yield from _people(facts)
        yield from _hidden_people(facts)
        for name in INDEX_KEYS:
            if name in facts["taken_names"]:
                yield Problem(ProblemKind.COLUMN_WRONG, f"index {name} can't be created. {_name_taken(facts, name)}")
        return
    if table["kind"] != "r":
        yield Problem(ProblemKind.COLUMN_WRONG, _no_plain_table(facts))
        return
    problems = [*_status_values(facts), *_columns(table, is_enum=facts["status_values"] is not None)]
    fatal = [problem for problem in problems if problem.fatal]
    in_path = [other["schema"] for other in facts["elsewhere"] if other["in_path"]]
    if len(fatal) > _MOST_CONTRADICTIONS or (fatal and in_path):
        yield Problem(ProblemKind.COLUMN_WRONG, _another_table(facts, in_path))
    if len(fatal) > _MOST_CONTRADICTIONS:  # what is wrong, without statements that would change a foreign table
        problems = [Problem(p.kind, p.message.partition(": ALTER ")[0], p.fatal) for p in fatal]
    yield from problems
    yield from _status_name(facts)
    yield from _rules(table)


def _another_table(facts: Facts, in_path: list[str]) -> str:
    where = f"{facts['table']['schema']}.job_queue"
    if in_path:
        return (
            f"{where} is found first in search_path {facts['search_path']}, and {', '.join(in_path)} has a job_queue "
            f"too. If that is the one, leave {where} as it is: {_use_schema(facts, in_path[0])}"
        )
    return (
        f"{where} is far from the contract (jobtide schema print shows it). If it belongs to another application, "
        "leave it as it is, and use a schema of its own: CREATE SCHEMA jobtide; "
        f"ALTER ROLE {facts['role_name']} SET search_path = jobtide; (each role that uses it) then run jobtide schema "
        "apply, which creates tenants and users there too"
    )


def _no_plain_table(facts: Facts) -> str:
    table = facts["table"]
    where = f"{table['schema']}.job_queue"
    match table["kind"]:
        case "p":
            return (
                f"{where} is no plain table but a partitioned one, whose ids can't be unique over all partitions. "
                f"Keep it under another name, create a plain one, and move the open jobs: "
                f"ALTER TABLE {where} RENAME TO job_queue_partitioned; then run jobtide schema apply; then "
                + _move_open_jobs(table)
            )
        case "v" if len(table["view_of"]) == 1:
            (base,) = table["view_of"]
            return (
                f"{where} is no plain table but a view of {base}, and only a table can hold an index for due jobs. "
                f"Exchange the names, so that clients of both keep working: DROP VIEW {where}; "
                f"ALTER TABLE {base} RENAME TO job_queue; "
                f"CREATE VIEW {base} WITH (security_invoker) AS TABLE {where}; then check again"
            )
        case "v" | "m":
            return (
                f"{where} is no plain table but a view of {', '.join(table['view_of']) or 'no table'}, whose rows "
                f"can't be claimed: ALTER VIEW {where} RENAME TO job_queue_view; then run jobtide schema apply"
            ).replace("ALTER VIEW", "ALTER MATERIALIZED VIEW" if table["kind"] == "m" else "ALTER VIEW")
        case "f":
            return (
                f"{where} is no plain table but a foreign one, whose rows can't be locked: use the URL of the server "
                "that has the table"
            )
        case kind:
            return f"{where} is no plain table (pg_class.relkind is {kind}): rename it, then run jobtide schema apply"


def _move_open_jobs(table: Facts) -> str:
    columns = ", ".join(name for name in COLUMNS if name in table["columns"])
    return (
        f"INSERT INTO {table['schema']}.job_queue ({columns}) "  # noqa: S608 - advice, for a user to run
        f"SELECT {columns} FROM {table['schema']}.job_queue_partitioned WHERE status IN ('pending', 'processing');"
    )


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


def _status_name(facts: Facts) -> Iterator[Problem]:
    """The statements cast to `job_status`: another type of that name, or none, and no end could be written."""
    type_ = facts["status_type_of_table"]
    if type_ is None or facts["status_values"] is None or type_["found"]:
        return
    where, full_name = f"{facts['table']['schema']}.job_queue", f"{type_['schema']}.{type_['name']}"
    found = facts["named_status_type"]
    if type_["name"] != STATUS_TYPE:
        message = (
            f"the enum of {where}.status has the name {type_['name']}, and the statements write {STATUS_TYPE}"
            f"{f', which is {found} here' if found else ''}: ALTER TYPE {full_name} RENAME TO {STATUS_TYPE}; "
            "(columns, views and indexes follow; programs and functions that write the old name must change too)"
        )
    elif not type_["usable"]:
        message = (
            f"role {facts['role']} lacks USAGE on schema {type_['schema']}, which has {STATUS_TYPE}, the enum of "
            f"{where}.status: GRANT USAGE ON SCHEMA {type_['schema']} TO {facts['role_name']};"
        )
    else:
        seen = (
            f"search_path {facts['search_path']} finds {found} first"
            if found
            else (f"search_path {facts['search_path']} does not find it")
        )
        message = (
            f"the enum of {where}.status is {full_name}, and {seen}, so no end can be written: "
            f"{_use_schema(facts, type_['schema'], first=bool(found))}"
        )
    yield Problem(ProblemKind.ENUM_MISMATCH, message)


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
        else:
            yield from _writable(where, name, column)
    for name, column in columns.items():
        if column["not_null"] and not column["has_default"] and name not in (*INSERTED, *EMPTIED, *NEEDED_DEFAULTS):
            yield Problem(
                ProblemKind.COLUMN_WRONG,
                f"column {where}.{name} is NOT NULL without a default, so jobs of producers that don't name it, and of "
                f"jobtide.enqueue and schedules, are refused: ALTER TABLE {where} ALTER COLUMN {name} SET DEFAULT ...",
                fatal=False,
            )
    if "id" in columns and not any(i["unique"] and i["keys"] == ["id"] for i in table["indexes"].values()):
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"column {where}.id is not unique, so jobs could share an id: ALTER TABLE {where} ADD PRIMARY KEY (id);",
        )


def _rules(table: Facts) -> Iterator[Problem]:
    """Claims are an UPDATE in a WITH, and enqueue has ON CONFLICT: PostgreSQL accepts neither beside rules."""
    where = f"{table['schema']}.job_queue"
    for name, event in table["rules"].items():
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"rule {name} on {event} of {where} makes PostgreSQL refuse "
            f"{'claims and ends' if event == 'UPDATE' else 'jobtide.enqueue and schedules'}: "
            f"DROP RULE {name} ON {where}; (a trigger can do the same)",
            fatal=event == "UPDATE",
        )


def _writable(where: str, name: str, column: Facts) -> Iterator[Problem]:
    """A column of the right type may still refuse what inserts, claims and ends write."""
    if name in NEEDED_DEFAULTS and not column["has_default"]:
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"column {where}.{name} has no default, so plain inserts must name it: "
            f"ALTER TABLE {where} ALTER COLUMN {name} SET DEFAULT {NEEDED_DEFAULTS[name]};",
            fatal=False,
        )
    if name in EMPTIED and column["not_null"]:
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"column {where}.{name} is NOT NULL, and every end sets it to NULL: "
            f"ALTER TABLE {where} ALTER COLUMN {name} DROP NOT NULL;",
        )
    if name in CHANGED and column["generated"]:
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"column {where}.{name} is generated, and claims and ends must write it: "
            f"ALTER TABLE {where} ALTER COLUMN {name} DROP EXPRESSION;",
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
                f"{_membership(facts, part)}",
            )


def _membership(facts: Facts, part: Part) -> str:
    """The statement that gives the role what its group has."""
    group, role = facts["groups"][part], facts["role_name"]
    if not group["member"] or group["inherits"]:
        return f"GRANT jobtide_{part} TO {role}; (made by jobtide schema apply --roles)"
    fix = f"GRANT jobtide_{part} TO {role} WITH INHERIT TRUE;"  # since 16 the membership decides, not the role
    if facts["server_version"] < _MEMBERSHIPS_INHERIT:
        fix = f"GRANT jobtide_{part} TO {role};" if facts["role_inherits"] else f"ALTER ROLE {role} INHERIT;"
    return f"it is a member of jobtide_{part}, but does not inherit its rights: {fix}"


def _surroundings(facts: Facts) -> Iterator[Problem]:
    """What another schema or a hardened server may change in every statement."""
    if facts["before_catalog"]:
        yield Problem(
            ProblemKind.COLUMN_WRONG,
            f"search_path {facts['search_path']} names {', '.join(facts['before_catalog'])} before pg_catalog, so a "
            "function there could replace one that the statements use: leave pg_catalog out, it comes first then",
            fatal=False,
        )
    if facts["locked_functions"]:
        yield Problem(
            ProblemKind.GRANT_MISSING,
            f"role {facts['role']} may not call {', '.join(facts['locked_functions'])}, which the statements use: "
            + " ".join(
                f"GRANT EXECUTE ON FUNCTION pg_catalog.{name} TO {facts['role_name']};"
                for name in facts["locked_functions"]
            ),
            fatal=False,
        )


def _visibility(facts: Facts, part: Part) -> Iterator[Problem]:
    table = facts["table"]
    if not table["rls_active"] or (table["can_see"] and table["can_change"]):
        return
    verb = "change" if table["can_see"] else "see"
    yield Problem(
        ProblemKind.RLS_HIDES_ROWS,
        f"row level security stops role {facts['role']}: no policy of {table['schema']}.job_queue lets it {verb} "
        f"every row, and what it can't {verb} is silently left out. {_role_that_sees(facts, part)}",
    )


def _role_that_sees(facts: Facts, part: Part) -> str:
    group = facts["groups"][part]
    if group["member"] and not group["inherits"]:
        fix = _membership(facts, part)
        return fix[0].upper() + fix[1:]
    return (
        "Use a role in jobtide_worker or jobtide_controller (made by jobtide schema apply --roles), or one with "
        "BYPASSRLS"
    )
