"""`kubectl jobtide page` over a kubectl that forwards to a page of this process: who logs in, and to which pod."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest

from tests.unit.page.world import Browser, World, entry, served, snapshot

PROGRAM = """#!/bin/sh
here="$(dirname "$0")"
echo "$*" >> "$here/calls"
case "$*" in
*"get pods"*) cat "$here/pods" ;;
*"config view"*) cat "$here/config" ;;
*"create token"*) cat "$here/token" || exit 1 ;;
*"port-forward"*)
  pod="$(echo "$*" | sed 's/.*pod\\/\\([^ ]*\\).*/\\1/')"
  echo "Forwarding from 127.0.0.1:$(cat "$here/port-$pod") -> 8081"
  test -e "$here/lines" || exec sleep 60
  cat "$here/lines"
  touch "$here/printed" ;;
esac
"""


class Kubectl:
    def __init__(self, folder) -> None:
        self.folder = folder
        (folder / "kubectl").write_text(PROGRAM)
        (folder / "kubectl").chmod(0o755)
        self.pods("pod-1")
        self.logs_in(token="alice-token")

    def pods(self, *names: str, namespace: str = "jobtide", page: bool = True) -> None:
        container = {"name": "controller", "ports": [{"name": "page" if page else "http", "containerPort": 8081}]}
        items = [
            {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": [container]}} for name in names
        ]
        (self.folder / "pods").write_text(json.dumps({"items": items}))

    def logs_in(self, **user) -> None:
        view = {"users": [{"name": "me", "user": user}], "clusters": [{"cluster": {"server": "https://1.2.3.4"}}]}
        (self.folder / "config").write_text(json.dumps(view))

    def forwards(self, **ports: int) -> None:
        for name, port in ports.items():
            (self.folder / f"port-{name.replace('_', '-')}").write_text(str(port))

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    async def run(self, *arguments: str, named: str = "-njobtide", until_it_ends: bool = False) -> tuple[str, str]:
        """What it printed until it waits, or has ended."""
        arguments = (*filter(None, [named]), *arguments)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "jobtide_controller.plugin", "page", "--no-browser", *arguments,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "HTTP_PROXY": "http://127.0.0.1:1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        if first and not until_it_ends:
            process.terminate()
        rest, errors = await process.communicate()
        return first + rest.decode(), errors.decode()


@pytest.fixture
def kubectl(tmp_path) -> Kubectl:
    return Kubectl(tmp_path)


@pytest.fixture
async def leader():
    async with served(World(snapshot(entry()))) as world:
        yield world


async def test_the_browser_gets_a_ticket_and_never_the_token(kubectl, leader):
    kubectl.forwards(pod_1=leader.port)
    shown, _ = await kubectl.run()
    found = re.match(r"the page, as alice: (http://127\.0\.0\.1:\d+/)#token=(jobtide-ticket-\S+)\n", shown)
    assert found, shown
    assert "alice-token" not in shown
    async with Browser(found[1]) as browser:
        await browser.login(found[2])
        assert (await browser.get("api/me"))[1]["user"] == "alice"


async def test_it_goes_on_to_the_pod_that_leads(kubectl, leader):
    kubectl.pods("pod-0", "pod-1")
    async with served(World(snapshot(entry(), leads=False))) as follower:
        kubectl.forwards(pod_0=follower.port, pod_1=leader.port)
        shown, _ = await kubectl.run()
    assert f"http://127.0.0.1:{leader.port}/" in shown


@pytest.mark.parametrize("login", ["file", "program"])
async def test_it_logs_in_as_kubectl_does(kubectl, leader, tmp_path, login):
    kubectl.forwards(pod_1=leader.port)
    if login == "file":
        (tmp_path / "own").write_text("alice-token\n")
        kubectl.logs_in(tokenFile=str(tmp_path / "own"))
    else:
        answer = json.dumps({"kind": "ExecCredential", "status": {"token": "alice-token"}})
        script = f'test "$WHO" = alice && test -n "$KUBERNETES_EXEC_INFO" && echo \'{answer}\''
        program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}
        kubectl.logs_in(exec={**program, "env": [{"name": "WHO", "value": "alice"}]})
    assert "as alice" in (await kubectl.run())[0]


async def test_a_service_account_is_a_token_for_the_page_alone(kubectl, leader, tmp_path):
    kubectl.forwards(pod_1=leader.port)
    kubectl.logs_in()
    (tmp_path / "token").write_text("alice-token\n")
    assert "as alice" in (await kubectl.run("--service-account", "ops/night"))[0]
    asked = "create token night --audience=jobtide.dev/page --duration=10m --namespace=ops"
    assert any(call.endswith(asked) for call in kubectl.calls)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        pytest.param({"pods": ()}, "set page.enabled=true in the chart's values", id="no-controller"),
        pytest.param({"user": {"client-certificate-data": "x"}}, "--service-account NAMESPACE/NAME", id="certificate"),
        pytest.param({"user": {"token": "stale"}}, "the token is not valid, or no longer", id="expired"),
        pytest.param({"user": {"exec": {"command": "/nothing"}}}, "gave no token: log in again", id="program"),
    ],
)
async def test_what_is_missing_is_an_error_with_what_to_do(kubectl, leader, change, advice):
    kubectl.forwards(pod_1=leader.port)
    if "pods" in change:
        kubectl.pods()
    else:
        kubectl.logs_in(**change["user"])
    shown, errors = await kubectl.run()
    assert shown == ""
    assert errors.startswith("kubectl jobtide: ")
    assert advice in errors


async def test_a_users_own_token_goes_to_no_pod_of_a_namespace_that_was_not_named(kubectl, leader):
    """Who may create a pod in any namespace could else read the tokens of users who may list all pods."""
    kubectl.forwards(pod_1=leader.port)
    kubectl.pods("pod-1", namespace="mallory")
    shown, errors = await kubectl.run(named="")
    assert shown == ""
    assert "-n mallory" in errors
    assert not any("port-forward" in call for call in kubectl.calls)


async def test_what_kubectl_prints_for_each_connection_does_not_fill_a_pipe(kubectl, leader, tmp_path):
    kubectl.forwards(pod_1=leader.port)
    (tmp_path / "lines").write_text("Handling connection for 8081\n" * 10_000)
    _, errors = await kubectl.run(until_it_ends=True)
    assert (tmp_path / "printed").exists()
    assert "has ended: run the command again" in errors
