"""The command with a kubectl that answers what the test needs: it prints a table, or one sentence on what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from jobtide_controller.plugin.command import main
from tests.unit.decide.builders import fleet
from tests.unit.plugin.fake_kubectl import FakeKubectl
from tests.unit.plugin.pools import ACME, DEPTHS, reported

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
POOL = reported(DEPTHS, fleet(24, busy=23)).as_object()
ONE, LIST = json.dumps(POOL), json.dumps({"kind": "List", "items": [POOL]})


@pytest.fixture
def kubectl(tmp_path, monkeypatch) -> FakeKubectl:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fake = FakeKubectl(tmp_path)
    fake.answers(LIST)
    return fake


GET = "get jobworkerpools.v1alpha1.jobtide.dev"
HOW = "--output=json --request-timeout=10s"


def test_why_shows_one_pool(kubectl, capsys):
    kubectl.answers(ONE)
    assert main(["why", "thumbs"]) == 0
    assert capsys.readouterr().out.startswith("pool      media/thumbs  ScalingUp\n")
    assert kubectl.calls == [f"{GET} thumbs {HOW}"]


@pytest.mark.parametrize(
    ("arguments", "output", "name", "call"),
    [
        pytest.param(["top"], LIST, "thumbs", f"{GET} {HOW}", id="namespace"),
        pytest.param(
            ["top", "thumbs", "-n", "media", "--context", "east", "--kubeconfig", "file"],
            ONE,
            "thumbs",
            f"{GET} thumbs {HOW} --kubeconfig=file --context=east --namespace=media",
            id="one-pool",
        ),
        pytest.param(["top", "-A"], LIST, "media/thumbs", f"{GET} --all-namespaces {HOW}", id="all-namespaces"),
    ],
)
def test_top_shows_types_and_tenants(kubectl, capsys, arguments, output, name, call):
    kubectl.answers(output)
    assert main(arguments) == 0
    shown = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert [name, "thumbs", "8,140"] in shown
    assert [name, ACME, "8,140"] in shown
    assert kubectl.calls == [call]


MISSING = 'Error from server (NotFound): jobworkerpools.jobtide.dev "nope" not found'


@pytest.mark.parametrize(
    ("message", "names", "advice"),
    [
        pytest.param(
            MISSING,
            "jobworkerpool.jobtide.dev/thumbs\njobworkerpool.jobtide.dev/video\n",
            "pools in this namespace: thumbs, video; -n chooses another namespace",
            id="no-such-pool",
        ),
        pytest.param(
            MISSING, "", "pools in this namespace: none; -n chooses another namespace", id="no-pool-in-the-namespace"
        ),
        pytest.param(
            'Error from server (Forbidden): jobworkerpools.jobtide.dev is forbidden: User "eve" cannot list resource',
            "",
            "ask for the role `view`; to check: kubectl auth can-i list jobworkerpools.jobtide.dev",
            id="forbidden",
        ),
        pytest.param(
            'error: the server doesn\'t have a resource type "jobworkerpools"',
            "",
            "install Jobtide with its chart, or choose another cluster with --context",
            id="not-installed",
        ),
        pytest.param(
            "error: You must be logged in to the server (Unauthorized)",
            "",
            "log in again, or choose another user with --context",
            id="not-logged-in",
        ),
        pytest.param(
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "",
            "check the network, KUBECONFIG and --context",
            id="refused",
        ),
        pytest.param(
            "Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout",
            "",
            "check the network, KUBECONFIG and --context",
            id="timeout",
        ),
        pytest.param(
            'error: context "absent" does not exist', "", "kubectl could not read the pools", id="any-other-error"
        ),
    ],
)
def test_a_failure_shows_the_message_of_kubectl_and_what_to_do(kubectl, capsys, message, names, advice):
    kubectl.answers(message=f"{message}\n", names=names)
    assert main(["why", "nope"]) == 1
    assert capsys.readouterr().err == f"{message}\nkubectl jobtide: {advice}\n"


@pytest.mark.parametrize(
    ("output", "error"),
    [
        pytest.param("No resources", "kubectl printed no JSON object: b'No resources'", id="text"),
        pytest.param("[]", "kubectl printed no JSON object: b'[]'", id="list"),
        pytest.param(
            json.dumps({"items": [{"metadata": {"name": "a", "namespace": "media"}, "spec": {"types": []}}]}),
            "can't read the pool media/a, it is of another release of Jobtide: ",
            id="pool-of-another-release",
        ),
    ],
)
def test_an_unexpected_answer_is_shown(kubectl, capsys, output, error):
    kubectl.answers(output)
    assert main(["top"]) == 1
    assert capsys.readouterr().err.startswith(f"kubectl jobtide: {error}")


def test_a_missing_kubectl_is_an_error_that_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["top"]) == 1
    expected = "kubectl jobtide: can't run kubectl: No such file or directory; install it in a folder of PATH\n"
    assert capsys.readouterr().err == expected


def _watching() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobtide_controller.plugin", "top", "--watch", "0.01"]
    # Where the tests run in the background, SIGINT is ignored, and child processes inherit that.
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def test_watching_repeats_until_interrupted(kubectl):
    with _watching() as process:
        assert process.stdout is not None
        shown = 0
        for line in process.stdout:
            shown += "SECONDS/JOB" in line
            if shown == 3:
                process.send_signal(signal.SIGINT)
                break
        _, message = process.communicate(timeout=30)
    assert (process.returncode, message) == (130, "")


def test_a_reader_that_stops_early_is_no_error(kubectl):
    with _watching() as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_kubectl_finds_the_plugin_by_its_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, attribute = scripts["kubectl-jobtide"].partition(":")
    assert getattr(import_module(module), attribute) is main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["top"], "no pools in namespace media; -n chooses another one, -A shows all", id="context"),
        pytest.param(
            ["top", "-n", "crm"], "no pools in namespace crm; -n chooses another one, -A shows all", id="named"
        ),
        pytest.param(["top", "-A"], "no pools in any namespace", id="all"),
    ],
)
def test_top_without_pools_names_the_namespace(kubectl, capsys, arguments, words):
    kubectl.answers('{"kind": "List", "items": []}', namespace="media")
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{words}\n"


def test_why_a_job_waits_needs_libpq_and_says_so(kubectl, capsys, monkeypatch):
    """The archive for krew has psycopg without a libpq of its own; here the import fails as it does without any."""
    monkeypatch.setitem(sys.modules, "jobtide_controller.plugin.job", None)
    assert main(["why", "--job", ACME]) == 1
    assert "libpq is missing: install it (libpq5 on Debian, libpq with Homebrew)" in capsys.readouterr().err
