"""`kubectl jobtide page` against the installed chart: the page through a forwarded port, with its user's rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import Any

import pytest

from dev.stage.stage import SYSTEM_NAMESPACE
from tests.e2e.work import Work, wait_for


@pytest.fixture
def enabled(work: Work) -> Iterator[None]:
    work.stage.change("page.enabled=true")
    yield
    work.stage.change("page.enabled=false")


@pytest.mark.usefixtures("enabled")
def test_the_page_shows_a_user_the_pools_that_it_may_see(work: Work) -> None:
    place = ("--namespace", work.namespace)
    work.stage.kubectl("create", "serviceaccount", "viewer", *place)
    viewer = f"--serviceaccount={work.namespace}:viewer"
    work.stage.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", viewer, *place)
    work.apply_pool("shown", ["shown.hold"])

    seen = wait_for("the pool on the page", lambda: pools_seen(work, "viewer"))
    assert seen == {(work.namespace, "shown")}


def pools_seen(work: Work, account: str) -> set[tuple[str, str]]:
    """By one login; none while the lead changes, as it does after the installation was changed."""
    with opened(work, f"{work.namespace}/{account}") as (base, ticket):
        browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        assert asked(browser, f"{base}api/overview")[0] == 401
        status, session = asked(browser, f"{base}api/login", {"token": ticket})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return set()
        assert (status, session["user"]) == (200, f"system:serviceaccount:{work.namespace}:{account}")
        assert asked(browser, f"{base}api/login", {"token": ticket})[0] == 401  # it was for one login
        status, overview = asked(browser, f"{base}api/overview")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return set()
        assert status == 200, overview
        return {(pool["namespace"], pool["name"]) for pool in overview["pools"]}


@contextmanager
def opened(work: Work, account: str) -> Iterator[tuple[str, str]]:
    """The address of the page, with its last slash, and the ticket, as the command prints them."""
    kubectl = work.stage.kubectl
    flags = ["--namespace", SYSTEM_NAMESPACE, "--kubeconfig", str(kubectl.kubeconfig)]
    command = [sys.executable, "-m", "jobtide_controller.plugin", "page", "--no-browser", "--service-account", account]
    path = f"{kubectl.program.parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        [*command, *flags], env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True
    ) as page:
        try:
            assert page.stdout is not None
            line = page.stdout.readline()
            assert "#token=" in line, line
            base, _, ticket = line.split()[-1].partition("#token=")
            yield base, ticket
        finally:
            page.terminate()


def asked(browser: urllib.request.OpenerDirector, address: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
    """The status of the page's answer, and its document."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with browser.open(request, timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)
