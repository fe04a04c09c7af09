"""What a machine may lack; each error is one sentence."""

from __future__ import annotations

import fcntl
import os
import re
import socket

import pytest

from dev.machine.errors import DevError
from dev.machine.system import (
    ensure_packages,
    is_network_error,
    require_disk,
    require_free_port,
    require_program,
    require_root,
)
from dev.tools.gobuild import Build, build


def test_too_little_disk_shows_how_much_is_free_and_how_much_is_needed(tmp_path):
    with pytest.raises(
        DevError, match=r"has \d+\.\d GB free and this needs about 1000000 GB: free some, or set JOBTIDE_CACHE"
    ):
        require_disk(tmp_path / "not" / "yet" / "there", needed_bytes=1_000_000 * 1024**3)


def test_enough_disk_is_accepted(tmp_path):
    require_disk(tmp_path, needed_bytes=1)


def test_without_root_the_remedies_are_named():
    with pytest.raises(DevError, match="needs root, and no Docker engine answers"):
        require_root(lambda: 1000)


def test_a_port_in_use_is_named_with_the_program_that_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            DevError, match=rf"port {port} on 127.0.0.1, which etcd needs, is in use by .*{os.getpid()}"
        ):
            require_free_port("127.0.0.1", port, "etcd")


def test_a_port_in_use_is_named_even_if_its_program_is_unknown(recorder):
    recorder.failures["ss "] = "not installed"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevError, match="is in use by another program: stop that program"):
            require_free_port("127.0.0.1", port, "etcd", recorder)


def test_a_free_port_is_accepted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    require_free_port("127.0.0.1", port, "etcd")


def test_a_missing_program_comes_with_its_remedy():
    with pytest.raises(DevError, match="`no-such-program` was not found on the PATH: install it from there"):
        require_program("no-such-program", "install it from there")


def test_present_packages_are_not_touched(recorder):
    ensure_packages({"bash": "bash", "base-files": "/etc/passwd"}, recorder)

    assert recorder.commands == []


def test_missing_packages_are_installed_together(recorder):
    ensure_packages({"bash": "bash", "zeta": "no-zeta", "alpha": "/no/alpha"}, recorder, lambda: 0)

    assert recorder.commands == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends alpha zeta",
    ]


def test_apt_runs_in_one_process_at_a_time(cache):
    """A second one would fail: apt does not wait for the lock of its lists."""
    ran = []

    def runner(arguments, **_):
        ran.append(arguments[1])
        with (cache / "apt.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    ensure_packages({"zeta": "no-zeta"}, runner, lambda: 0)

    assert ran == ["update", "install"]


def test_what_another_process_has_just_installed_is_not_installed_again(recorder, tmp_path):
    program = tmp_path / "zeta"

    def user_id():
        program.touch()
        return 0

    ensure_packages({"zeta": str(program)}, recorder, user_id)

    assert recorder.commands == []


def test_missing_packages_without_root_are_named(recorder):
    with pytest.raises(DevError, match="missing: zeta; run `apt-get install zeta` as root"):
        ensure_packages({"zeta": "no-zeta"}, recorder, lambda: 1000)


def test_an_unreachable_package_mirror_is_suggested_as_the_reason(recorder):
    recorder.failures["apt-get update"] = "Temporary failure resolving 'mirror.example'"

    with pytest.raises(DevError, match="could not install zeta; is the package mirror reachable"):
        ensure_packages({"zeta": "no-zeta"}, recorder, lambda: 0)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param('Get "https://x": dial tcp: lookup x on 1.1.1.1:53: no such host', id="go-dns"),
        pytest.param('Get "https://x": dial tcp 1.2.3.4:443: connect: connection refused', id="go-refused"),
        pytest.param("NewConnectionError: Failed to establish a new connection: [Errno -2] Name or service", id="pip"),
        pytest.param("error: Failed to fetch: `https://x/simple/uv/`", id="uv"),
        pytest.param("E: Couldn't download packages: adduser apt", id="debootstrap"),
    ],
)
def test_errors_of_an_unreachable_network_are_recognised(words):
    assert is_network_error(words)


@pytest.mark.parametrize("words", ["main.go:3:1: syntax error", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"])
def test_other_errors_are_not_blamed_on_the_network(words):
    assert not is_network_error(words)


def test_an_unreachable_module_proxy_is_named_with_a_remedy(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("GOPROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOFLAGS", "-modcacherw -mod=mod")
    monkeypatch.setenv("GONOSUMDB", "*")
    (tmp_path / "go.mod").write_text("module probe\n\ngo 1.21\n\nrequire example.com/tool v1.0.0\n")
    request = Build("Building tool v1", "1 s", tmp_path, "", tmp_path / "out", {"example.com/tool": tmp_path / "tool"})

    sentence = (
        rf"Building tool v1 needs http://127.0.0.1:{port}, which can't be reached: connect this machine or set GOPROXY"
    )
    with pytest.raises(DevError, match=re.escape(sentence)):
        build(request)
    assert list((tmp_path / "out").iterdir()) == []
