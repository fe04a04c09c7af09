"""Programs as handlers, in any language: the payload on stdin, the result on stdout, the outcome in the exit code."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobtide.context import Context
from jobtide.errors import Fail, LoadError, Retry
from jobtide.job import Json
from jobtide.tide import Tide

EXIT_DATA_WRONG = 65  # EX_DATAERR of sysexits.h: a retry is pointless
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL
_STDERR_TAIL_CHARS = 3_000  # of a failed program's stderr, in its job's error
_OPTIONS = {"command", "max_attempts", "timeout_seconds", "database_url"}
_DATABASE_URL = {"JOBTIDE_DATABASE_URL", "JOBTIDE_DATABASE_URL_FILE"}  # for programs that ask for it


class ProgramFailed(Retry):
    """The program ended with another exit code than 0, or by a signal."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program that handles the jobs of one type."""

    type: str
    command: tuple[str, ...]
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    database_url: bool = False  # True: it gets the worker's JOBTIDE_DATABASE_URL and JOBTIDE_DATABASE_URL_FILE


def parse_flag(text: str) -> Program:
    """`type=command args`, split as a shell would, but run without one. Raises ValueError."""
    type_, equals, command = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}: expected TYPE=COMMAND, as in 'thumbs=node thumb.js'")
    return _program(type_.strip(), command)


def parse_setting(text: str) -> tuple[Program, ...]:
    """`{"type": "command args"}`; an array for the command, or an object with settings. Raises ValueError."""
    expected = 'expected a JSON object of job type to command, as in {"thumbs": "node thumb.js"}'
    try:
        value = json.loads(text)
    except ValueError as wrong:
        raise ValueError(f"{expected}; {wrong}") from None
    if not isinstance(value, dict) or not value:
        raise ValueError(expected)
    return tuple(_program(type_, given) for type_, given in value.items())


def add_programs(tide: Tide, programs: Iterable[Program], *, max_output_bytes: int) -> None:
    """Registers each as a handler. Raises LoadError where the program is missing, or the type has a handler."""
    for program in programs:
        if shutil.which(program.command[0]) is None:
            raise LoadError(
                f"type {program.type!r} runs {program.command[0]!r}, which is not an executable here; "
                f"looked in {os.environ.get('PATH', os.defpath)}"
            )
        try:
            tide.job(program.type, max_attempts=program.max_attempts, timeout_seconds=program.timeout_seconds)(
                _handler(program, max_output_bytes)
            )
        except ValueError as refused:
            raise LoadError(f"program {shlex.join(program.command)!r}: {refused}") from None


def _program(type_: str, given: Any) -> Program:
    settings = given if isinstance(given, dict) else {"command": given}
    unknown = settings.keys() - _OPTIONS
    if unknown:
        raise ValueError(f"{type_}: {', '.join(sorted(unknown))} is not one of {', '.join(sorted(_OPTIONS))}")
    command = settings.get("command")
    words = shlex.split(command) if isinstance(command, str) else command
    if not words or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{type_}: {command!r} is not a command: expected a text or an array of texts")
    for name, kinds in (("max_attempts", (int,)), ("timeout_seconds", (int, float))):
        value = settings.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise ValueError(f"{type_}: {name}={value!r} is not a number")
    database_url = settings.get("database_url", False)
    if database_url not in (True, False):
        raise ValueError(f"{type_}: database_url={database_url!r} is neither true nor false")
    return Program(
        type_, tuple(words), settings.get("max_attempts"), settings.get("timeout_seconds"), database_url=database_url
    )


def _handler(program: Program, max_output_bytes: int) -> Any:
    from jobtide.programs.process import ending, run_process

    def run(payload: Any, ctx: Context) -> Json:
        ended = run_process(
            program.command,
            stdin=json.dumps(payload, ensure_ascii=False).encode() + b"\n",
            environment={**_inherited(program), **_about(ctx)},
            ctx=ctx,
            max_output_bytes=max_output_bytes,
        )
        complaint = ended.stderr_tail[-_STDERR_TAIL_CHARS:].strip()
        if ended.output_too_long:
            raise Fail(f"wrote more than {max_output_bytes} bytes to stdout (JOBTIDE_MAX_RESULT_BYTES) and was killed")
        match ended.exit_code:
            case 0:
                return result_of(ended.stdout)
            case code if code == EXIT_DATA_WRONG:
                raise Fail(complaint or "the program refused the payload (exit code 65)")
            case code if code == EXIT_TRY_AGAIN:
                raise Retry(complaint or "the program asked for a retry (exit code 75)")
            case code:
                raise ProgramFailed(f"{ending(code)}: {complaint or 'it wrote nothing to stderr'}")

    vars(run)["starts_process"] = True  # see Handler.starts_process
    return run


def result_of(stdout: bytes) -> Json:
    """The JSON value that stdout holds; other text as a string; nothing as null."""
    text = stdout.decode(errors="replace").strip()
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _inherited(program: Program) -> dict[str, str]:
    kept = os.environ if program.database_url else os.environ.keys() - _DATABASE_URL
    return {name: os.environ[name] for name in kept}


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _about(ctx: Context) -> dict[str, str]:
    job = ctx.job
    return {
        "JOBTIDE_JOB_ID": str(job.id),
        "JOBTIDE_TENANT_ID": str(job.tenant_id),
        "JOBTIDE_TYPE": job.type,
        "JOBTIDE_ATTEMPT": str(job.attempt),
    }
