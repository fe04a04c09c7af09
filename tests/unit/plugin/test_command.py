"""The command against an API server that answers whatever the case needs: a table, or one sentence on what to do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from jobtide_controller.plugin.command import main
from tests.unit.decide.builders import fleet
from tests.unit.plugin.pools import DEPTHS, reported

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
POOLS = "/apis/jobtide.dev/v1alpha1/namespaces/media/jobworkerpools"
EVERYWHERE = "/apis/jobtide.dev/v1alpha1/jobworkerpools"
POOL = reported(DEPTHS, fleet(24, busy=23)).as_object()


def _status(code: int, reason: str, message: str) -> tuple[int, str]:
    return code, json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message})


def _list(*pools) -> tuple[int, str]:
    return 200, json.dumps({"metadata": {"resourceVersion": "1"}, "items": list(pools)})


NOT_FOUND = _status(404, "NotFound", 'jobworkerpools.jobtide.dev "nope" not found')
FORBIDDEN = _status(403, "Forbidden", 'jobworkerpools.jobtide.dev is forbidden: User "eve" cannot list')
NO_SUCH_PAGE = (404, "404 page not found\n")


class Server(ThreadingHTTPServer):
    """Answers by path; all others with a page that is not there."""

    answers: dict[str, tuple[int, str]]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        code, body = self.server.answers.get(self.path.partition("?")[0], NO_SUCH_PAGE)
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as running:
        running.answers = {f"{POOLS}/thumbs": (200, json.dumps(POOL)), POOLS: _list(POOL), EVERYWHERE: _list(POOL)}
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, running.server_port)))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield running
        running.shutdown()
        thread.join()


def _kubeconfig(folder: Path, port: int) -> Path:
    file = folder / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    contexts = [
        {"name": "media", "context": {"cluster": "c", "user": "u", "namespace": "media"}},
        {"name": "bare", "context": {"cluster": "c", "user": "u"}},
    ]
    users = [{"name": "u", "user": {"token": "secret"}}]
    file.write_text(
        json.dumps({"current-context": "media", "clusters": [cluster], "contexts": contexts, "users": users})
    )
    return file


def test_why_shows_the_pool_of_the_contexts_namespace(server, capsys):
    assert main(["why", "thumbs"]) == 0
    assert capsys.readouterr().out.startswith("pool      media/thumbs  ScalingUp\n")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        pytest.param(["top"], "thumbs", id="namespace"),
        pytest.param(["top", "thumbs", "-n", "media", "--context", "bare"], "thumbs", id="one-pool"),
        pytest.param(["top", "--all-namespaces"], "media/thumbs", id="cluster"),
    ],
)
def test_top_shows_types_and_tenants(server, capsys, arguments, name):
    assert main(arguments) == 0
    shown = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert [name, "thumbs", "8,140"] in shown
    assert [name, "acme", "8,140"] in shown


@pytest.mark.parametrize(
    ("answers", "arguments", "says"),
    [
        pytest.param(
            {f"{POOLS}/nope": NOT_FOUND},
            ["why", "nope"],
            'no pool "nope" in namespace media: it has thumbs',
            id="no-such-pool",
        ),
        pytest.param(
            {f"{POOLS}/nope": NOT_FOUND, POOLS: _list()},
            ["why", "nope"],
            'no pool "nope" in namespace media: it has no pools; -n chooses another namespace',
            id="empty-namespace",
        ),
        pytest.param(
            {f"{POOLS}/nope": NOT_FOUND, POOLS: FORBIDDEN},
            ["why", "nope"],
            'no pool "nope" in namespace media',
            id="no-such-pool-and-no-right-to-list",
        ),
        pytest.param(
            {POOLS: FORBIDDEN},
            ["top"],
            "no right to read pools in namespace media: ask for the role `view` there, and check with kubectl auth "
            "can-i list jobworkerpools.jobtide.dev -n media (jobworkerpools.jobtide.dev is forbidden: User "
            '"eve" cannot list)',
            id="no-right",
        ),
        pytest.param(
            {EVERYWHERE: FORBIDDEN}, ["top", "-A"], "no right to read pools in any namespace", id="no-right-everywhere"
        ),
        pytest.param({POOLS: NO_SUCH_PAGE}, ["top"], "knows no JobWorkerPool: install Jobtide", id="not-installed"),
        pytest.param({}, ["why", "thumbs", "-n", "x"], "knows no JobWorkerPool: install Jobtide", id="none-at-all"),
        pytest.param(
            {POOLS: _status(401, "Unauthorized", "Unauthorized")},
            ["top"],
            "does not accept this kubeconfig's credentials",
            id="unknown-user",
        ),
        pytest.param(
            {POOLS: _status(503, "ServiceUnavailable", "starting")},
            ["top"],
            "refused to show pools in namespace media: ServiceUnavailable: starting",
            id="unavailable",
        ),
        pytest.param(
            {POOLS: _list({"metadata": {"name": "a", "namespace": "media"}, "spec": {"types": []}})},
            ["top"],
            "this release can't read the pool media/a",
            id="of-another-release",
        ),
        pytest.param({}, ["top", "--context", "absent"], "no kubeconfig to go by", id="no-such-context"),
        pytest.param(
            {},
            ["top", "--kubeconfig", "/absent"],
            "no kubeconfig to go by: /absent does not exist; set",
            id="no-kubeconfig",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_sentence_with_what_to_do(server, capsys, answers, arguments, says):
    server.answers |= answers
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert says in told
    assert told.startswith("kubectl jobtide: ")


def test_a_cluster_that_does_not_answer_is_named(server, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, 1)))
    assert main(["top"]) == 1
    assert "no answer from the API server http://127.0.0.1:1" in capsys.readouterr().err


def _watching() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobtide_controller.plugin", "top", "--watch", "0.01"]
    # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def test_watching_shows_it_again_until_it_is_interrupted(server):
    with _watching() as process:
        assert process.stdout is not None
        shown = 0
        for line in process.stdout:
            shown += "SECONDS/JOB" in line
            if shown == 3:
                process.send_signal(signal.SIGINT)
                break
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "")


def test_a_reader_that_has_seen_enough_is_no_error(server):
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
