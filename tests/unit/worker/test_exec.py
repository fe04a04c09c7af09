"""Programs as handlers: their input, their exit codes, and that no process of theirs outlives its job."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from jobtide import Fail, Retry, Tide
from jobtide.commands.settings import from_environment
from jobtide.context import Context
from jobtide.errors import LoadError, SettingsError
from jobtide.job import Job
from jobtide.programs.handler import Program, ProgramFailed, add_programs, parse_flag, parse_setting, result_of

pytestmark = pytest.mark.slow

JOB = Job(UUID(int=1), UUID(int=2), "t", None, attempt=3, token="jobtide:p:n")
URL = {"JOBTIDE_DATABASE_URL": "postgresql://x"}


@pytest.fixture
def ctx():
    return Context(JOB)


def run(command, payload=None, *, ctx, limit=100_000):
    tide = Tide()
    add_programs(tide, [Program("t", tuple(command))], max_output_bytes=limit)
    return tide.handlers["t"].function(payload, ctx)


def sh(script, payload=None, *, ctx, limit=100_000):
    return run(["sh", "-c", script], payload, ctx=ctx, limit=limit)


def test_the_payload_comes_on_stdin_and_the_result_goes_to_stdout(ctx):
    assert run(["cat"], {"a": ["ü", None, 1.5]}, ctx=ctx) == {"a": ["ü", None, 1.5]}


def test_a_program_knows_its_job(ctx):
    printed = sh('echo "$JOBTIDE_JOB_ID $JOBTIDE_TENANT_ID $JOBTIDE_TYPE $JOBTIDE_ATTEMPT"', ctx=ctx)
    assert printed == f"{UUID(int=1)} {UUID(int=2)} t 3"


@pytest.mark.parametrize(
    ("stdout", "result"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b" \n", None, id="white space"),
        pytest.param(b'{"a": 1}\n', {"a": 1}, id="an object"),
        pytest.param(b"17", 17, id="a number"),
        pytest.param(b"done: 17\n", "done: 17", id="a sentence"),
        pytest.param(b'{"a": 1}\n{"b": 2}\n', '{"a": 1}\n{"b": 2}', id="two values"),
        pytest.param(b"NaN", "NaN", id="JSON for Python alone"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="no UTF-8"),
    ],
)
def test_stdout_is_the_result_as_json_or_as_text(stdout, result):
    assert result_of(stdout) == result


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("echo no such file >&2; exit 65", Fail, "no such file"),
        ("exit 65", Fail, "refused the payload"),
        ("echo busy >&2; exit 75", Retry, "busy"),
        ("exit 75", Retry, "asked for a retry"),
        ("echo out of cheese >&2; exit 3", ProgramFailed, "exit code 3: out of cheese"),
        ("exit 1", ProgramFailed, "exit code 1: it wrote nothing to stderr"),
        ("kill -SEGV $$", ProgramFailed, "killed by SIGSEGV"),
        ("no-such-program", ProgramFailed, "exit code 127: .*not found"),
    ],
    ids=lambda value: value if isinstance(value, str) and ";" not in value else None,
)
def test_the_exit_code_decides_the_outcome(script, outcome, reason, ctx):
    with pytest.raises(outcome, match=reason):
        sh(script, ctx=ctx)


def test_the_error_keeps_the_end_of_a_long_stderr(ctx):
    with pytest.raises(ProgramFailed) as raised:
        sh("yes noise | head -c 1000000 >&2; echo the reason >&2; exit 1", ctx=ctx)
    assert str(raised.value).endswith("the reason")
    assert len(str(raised.value)) < 4_000


def test_stderr_is_logged_line_by_line_with_its_job(ctx, caplog):
    with caplog.at_level(logging.INFO, logger="jobtide.exec"):
        sh("echo one >&2; printf two >&2; head -c 10000 /dev/zero | tr '\\0' x >&2", ctx=ctx)
    assert caplog.messages[0] == "one"
    assert caplog.messages[1].startswith("twoxxx")
    assert {record.job for record in caplog.records} == {str(JOB.id)}
    assert max(map(len, caplog.messages)) <= 4_096


def test_more_output_than_a_result_may_have_fails_and_stops_the_program(ctx):
    with pytest.raises(Fail, match="more than 1000 bytes to stdout"):
        sh("yes", ctx=ctx, limit=1_000)


def test_a_large_payload_and_result_do_not_wait_for_each_other(ctx):
    payload = ["x" * 1_000] * 1_000
    assert run(["cat"], payload, ctx=ctx, limit=2_000_000) == payload


def test_a_program_need_not_read_its_payload(ctx):
    assert sh("exec <&-; echo 1", "x" * 1_000_000, ctx=ctx) == 1


def test_a_program_that_closes_its_pipes_still_runs_to_its_end(ctx, tmp_path):
    sh(f"exec >&- 2>&-; sleep 0.3; touch {tmp_path}/done", ctx=ctx)
    assert (tmp_path / "done").exists()


def test_the_children_of_a_program_are_killed_when_it_ends(ctx, tmp_path):
    began_at = time.monotonic()
    pid = sh("sleep 60 & echo $!", ctx=ctx)
    assert time.monotonic() - began_at < 30
    wait_for(partial(is_gone, pid))


@pytest.fixture
def cancelled(ctx, tmp_path, monkeypatch):
    """Runs a script, cancels it once it reports that it is ready, and returns its outcome."""
    monkeypatch.chdir(tmp_path)

    def run_and_cancel(script):
        with ThreadPoolExecutor(1) as pool:
            ran = pool.submit(sh, script, ctx=ctx)
            wait_for(lambda: Path("ready").exists())
            ctx.cancel("timeout")
            return ran.exception(30) or ran.result()

    return run_and_cancel


@pytest.mark.parametrize(
    ("trap", "by"),
    [
        pytest.param("", "SIGTERM", id="stops at SIGTERM"),
        pytest.param("trap '' TERM;", "SIGKILL", id="ignores SIGTERM"),
    ],
)
def test_a_cancelled_program_ends_with_its_whole_process_group(trap, by, cancelled):
    came = cancelled(f"{trap} sleep 60 & echo $! $$ > pids; touch ready; wait; wait")
    assert str(came).startswith(f"killed by {by}")
    for pid in Path("pids").read_text().split():
        wait_for(partial(is_gone, pid))


def test_a_program_may_clean_up_when_it_is_cancelled(cancelled):
    assert cancelled("trap 'echo 5; exit 0' TERM; touch ready; sleep 60 & wait") == 5


def is_gone(pid):
    """A killed orphan is a zombie until init has reaped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_descriptor_and_no_child_stays_behind(ctx):
    sh("exit 0", ctx=ctx)
    before = descriptors_and_children()
    for _ in range(20):
        sh("exit 0", ctx=ctx)
    assert descriptors_and_children() == before


def descriptors_and_children():
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return len(list(Path("/proc/self/fd").iterdir())), children.read_text()


def test_a_worker_that_exits_kills_its_programs_also_those_that_are_about_to_start(tmp_path):
    code = f"""
import os, threading, time
from uuid import UUID
from jobtide import Tide
from jobtide.context import Context
from jobtide.job import Job
from jobtide.programs.handler import Program, add_programs
tide = Tide()
add_programs(tide, [Program("t", ("sh", "-c", "echo > {tmp_path}/$$; sleep 60"))], max_output_bytes=100)
ctx = Context(Job(UUID(int=1), UUID(int=2), "t", None, 1, "jobtide:p:n"))
for _ in range(8):
    threading.Thread(target=tide.handlers["t"].function, args=(None, ctx), daemon=True).start()
while not os.listdir("{tmp_path}"):
    time.sleep(0.001)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    started = [int(file.name) for file in tmp_path.iterdir()]
    assert started
    wait_for(lambda: all(is_gone(pid) for pid in started))


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("t=cat", Program("t", ("cat",))),
        ("video.ingest=node in.js 'a b' --x=y", Program("video.ingest", ("node", "in.js", "a b", "--x=y"))),
    ],
)
def test_a_flag_names_a_type_and_its_command(text, program):
    assert parse_flag(text) == program


def test_the_setting_takes_texts_arrays_and_objects():
    text = (
        '{"a": "cat -u", "b": ["sh", "-c", "x y"], "c": {"command": "cat", "max_attempts": 2, "timeout_seconds": 1.5}}'
    )
    assert parse_setting(text) == (
        Program("a", ("cat", "-u")),
        Program("b", ("sh", "-c", "x y")),
        Program("c", ("cat",), 2, 1.5),
    )


@pytest.mark.parametrize(
    ("flags", "setting", "reason"),
    [
        (["cat"], "", "--exec 'cat': expected TYPE=COMMAND"),
        (["t="], "", "--exec t: '' is not a command"),
        (["t='cat"], "", "--exec No closing quotation"),
        ([], "[]", "JOBTIDE_EXEC='\\[\\]': expected a JSON object"),
        ([], "{}", "JOBTIDE_EXEC='{}': expected a JSON object"),
        ([], "{", "expected a JSON object .* line 1 column 2"),
        ([], '{"t": 1}', "t: 1 is not a command"),
        ([], '{"t": []}', "t: \\[\\] is not a command"),
        (
            [],
            '{"t": {"command": "cat", "timeout": 1}}',
            "t: timeout is not one of command, database_url, max_attempts, timeout_seconds",
        ),
        ([], '{"t": {"command": "cat", "max_attempts": "2"}}', "max_attempts='2' is not a number"),
    ],
    ids=str,
)
def test_a_wrong_command_is_refused_at_start(flags, setting, reason):
    with pytest.raises(SettingsError, match=reason):
        from_environment({**URL, "JOBTIDE_EXEC": setting}, programs=flags)


def test_a_worker_of_programs_needs_no_application():
    settings = from_environment({**URL, "JOBTIDE_EXEC": '{"a": "cat"}'}, programs=["b=cat"])
    assert settings.app == ""
    assert [program.type for program in settings.programs] == ["a", "b"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (Program("t", ("no-such-program",)), "'no-such-program', which is not an executable here; looked in /"),
        (Program("taken", ("cat",)), "program 'cat': job type 'taken' has a handler already"),
        (Program("t", ("cat",), max_attempts=0), "max_attempts=0"),
    ],
    ids=["missing", "taken", "a wrong setting"],
)
def test_a_program_that_cannot_run_is_refused_at_start(program, reason):
    tide = Tide()
    tide.job("taken")(lambda payload: 1)
    with pytest.raises(LoadError, match=reason):
        add_programs(tide, [program], max_output_bytes=100)
