"""Credentials on a developer's machine: real files and modes, and the command lines of etcd and the API server."""

from __future__ import annotations

import http.server
import os
import socketserver
import stat
import threading
from pathlib import Path

import pytest

from dev.bench.pools.etcd import Etcd
from dev.cluster.components import Endpoints, apiserver_arguments, etcd_arguments
from dev.cluster.given import GivenCluster
from dev.cluster.local import components
from dev.cluster.local.layout import Layout
from dev.cluster.pki import Credentials, ensure_credentials
from dev.machine import unix_http
from dev.machine.errors import DevError
from dev.machine.private import private_directory, write_private
from dev.machine.shell import run


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask():
    """The worst case: new files would be readable and writable by every user."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def endpoints(tmp_path):
    return Endpoints("127.0.0.1", 6443, tmp_path / "etcd.sock", 10257)


@pytest.fixture
def other_users_folder(tmp_path):
    if os.geteuid() != 0:
        return Path("/")
    folder = tmp_path / "made-by-another-user"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65534, 65534)
    return folder


@pytest.fixture
def served(tmp_path):
    """A real HTTP server on a Unix socket; it answers /readyz and returns the body of each POST."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def address_string(self):
            return "a Unix socket"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(200 if self.path == "/readyz" else 404, b"ok")

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, b'{"kvs": [{"value": "dGlkZQ=="}]}')

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    path = tmp_path / "http.sock"
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_etcd_has_no_tcp_port_and_the_api_server_uses_the_same_socket(endpoints, tmp_path):
    etcd = etcd_arguments(tmp_path / "etcd", endpoints)
    url = f"unix://{tmp_path}/etcd.sock"

    assert f"--listen-client-urls={url}" in etcd
    assert not [argument for argument in etcd if "http" in argument or "127.0.0.1" in argument]
    assert f"--etcd-servers={url}" in apiserver_arguments(endpoints, Credentials(tmp_path))


def test_etcd_of_the_local_cluster_listens_in_a_private_folder_and_on_no_port(tmp_path):
    layout = Layout(state=tmp_path)
    credentials = Credentials(tmp_path)
    credentials.tokens.write_text("secret,admin,admin,system:masters\n")
    names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    tools = {name: tmp_path / name for name in names}

    etcd = components.control_plane(layout, credentials, tools)[0]

    assert etcd.name == "etcd"
    assert etcd.ports == ()
    assert f"--listen-client-urls=unix://{layout.runtime}/etcd.sock" in etcd.command


def test_a_file_is_private_from_its_creation(tmp_path):
    """Nothing changes a mode later, so with this umask the last mode is the first one."""
    write_private(tmp_path / "kubeconfig", "a token")

    assert mode_of(tmp_path / "kubeconfig") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kubeconfig"]


def test_an_older_file_that_others_could_read_is_replaced_not_written(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text("an older token")
    with file.open() as opened_before:
        write_private(file, "a token")

        assert opened_before.read() == "an older token"
    assert mode_of(file) == 0o600
    assert file.read_text() == "a token"


def test_the_copy_of_a_given_kubeconfig_is_private_also_over_an_older_one(cache, new_recorder, tmp_path):
    cache.mkdir()
    (cache / "given.kubeconfig").write_text("older")
    recorder = new_recorder(outputs={f"{tmp_path}/kubectl config view": "a token"})

    made = GivenCluster(None, None, recorder, tmp_path / "kubectl").ensure()

    assert made.read_text() == "a token"
    assert mode_of(made) == 0o600


def test_all_secrets_of_a_control_plane_are_private(tmp_path):
    credentials = ensure_credentials(tmp_path / "pki", names=["IP:127.0.0.1"], runner=run)

    assert mode_of(credentials.directory) == 0o700
    assert credentials.token
    secret = [credentials.tokens, *credentials.directory.glob("*.key")]
    assert len(secret) == 5
    assert {mode_of(path) for path in secret} == {0o600}


def test_a_private_folder_is_made_for_its_user_alone(tmp_path):
    assert mode_of(private_directory(tmp_path / "made")) == 0o700


def test_others_lose_the_right_to_enter_a_folder_that_exists(tmp_path):
    tmp_path.chmod(0o755)

    private_directory(tmp_path)

    assert mode_of(tmp_path) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_folder_that_others_could_write_to_is_refused(mode, tmp_path):
    tmp_path.chmod(mode)

    with pytest.raises(DevError, match=rf"has mode {mode:04o}, so another user may have put files into it: remove it"):
        private_directory(tmp_path)


def test_a_folder_of_another_user_is_refused(other_users_folder):
    with pytest.raises(DevError, match="belongs to user"):
        private_directory(other_users_folder)


def test_http_over_a_unix_socket(served, tmp_path):
    assert unix_http.answers(served, "/readyz")
    assert not unix_http.answers(served, "/other")
    assert not unix_http.answers(tmp_path / "no.sock", "/readyz")
    assert Etcd(served).get("/registry/pods") == b"tide"
