"""The page of a real controller: a real API server says who asks and what that user may do."""

from __future__ import annotations

import http.cookiejar
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dev.postgres.server import Server
from jobtide_controller.kube.api.reviews import AUDIENCE
from tests.cluster.controllers import Controller, until

RULES = {"view": ["get", "list", "watch"], "edit": ["get", "list", "watch", "patch"], "payloads": ["payloads"]}


class Browser:
    """A login of one service account."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/"
        self.csrf = ""
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))

    def __call__(self, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "X-Jobtide-CSRF": self.csrf}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def login(self, token: str) -> int:
        status, found = self("api/login", {"token": token})
        self.csrf = found.get("csrf", "")
        return status


@pytest.fixture
def account(kubectl) -> Callable[..., str]:
    """A service account with these rights in the namespace of the test; its token for the page."""

    def make(name: str, *roles: str, audience: str | None = AUDIENCE) -> str:
        kubectl("create", "serviceaccount", name)
        for role in roles:
            verbs = ",".join(RULES[role])
            kubectl("create", "role", f"{name}-{role}", f"--verb={verbs}", "--resource=jobworkerpools.jobtide.dev")
            account = f"--serviceaccount={kubectl.namespace}:{name}"
            kubectl("create", "rolebinding", f"{name}-{role}", f"--role={name}-{role}", account)
        return kubectl("create", "token", name, *([f"--audience={audience}"] if audience else [])).strip()

    return make


@pytest.fixture
def page(controller, jobs, server: Server, tmp_path) -> Callable[..., int]:
    """Starts a controller with the page and an operator's URL; its port."""
    jobs.execute("DROP ROLE IF EXISTS page_operator")
    jobs.execute("CREATE ROLE page_operator LOGIN PASSWORD 'page' IN ROLE jobtide_operator")
    place = tmp_path / "operators" / "main"
    place.mkdir(parents=True)
    (place / "url").write_text(server.url(user="page_operator", password="page"))

    settings = {"PAGE_ENABLED": "true", "PAGE_PORT": "0", "OPERATORS_DIR": str(place.parent)}

    def start(name: str = "jobtide-0") -> int:
        one = controller(name, **{f"JOBTIDE_{key}": value for key, value in settings.items()})
        return until(lambda: page_port(one))

    return start


def page_port(one: Controller) -> int | None:
    lines = [line for line in one.words.splitlines() if '"page_port"' in line]
    return json.loads(lines[-1])["page_port"] if lines else None


def api_server_answers(plane: Any, token: str) -> int:
    (cluster,) = yaml.safe_load(plane.kubeconfig.read_text())["clusters"]
    request = urllib.request.Request(
        f"{cluster['cluster']['server']}/api", headers={"Authorization": f"Bearer {token}"}
    )
    trust = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    try:
        with urllib.request.build_opener(trust, urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def opened(port: int, token: str) -> Browser:
    browser = Browser(port)
    assert browser.login(token) == 200
    return browser


def shown(browser: Browser) -> list[str]:
    status, overview = browser("api/overview")
    return [row["name"] for row in overview["pools"]] if status == 200 else []


def test_a_user_sees_what_its_own_rights_show(page, account, kubectl, pool):
    kubectl.apply(pool())
    port = page()
    viewer, eve = opened(port, account("viewer", "view")), opened(port, account("eve"))
    until(lambda: shown(viewer) == ["thumbs"])
    assert viewer("api/me")[1]["user"] == f"system:serviceaccount:{kubectl.namespace}:viewer"
    assert viewer("api/overview")[1]["pools"][0]["may"] == {"act": False, "payloads": False}
    assert shown(eve) == []
    assert eve(f"api/pools/{kubectl.namespace}/thumbs")[0] == 404
    assert Browser(port).login("no token of this cluster") == 401


def test_a_token_for_the_page_opens_the_page_alone(page, account, kubectl, plane):
    port = page()
    token, other = account("viewer", "view"), account("other", "view", audience="another-service")
    assert Browser(port).login(other) == 401
    assert api_server_answers(plane, token) == 401
    own = kubectl("create", "token", "viewer").strip()
    assert api_server_answers(plane, own) == 200
    assert Browser(port).login(own) == 200


def test_an_editor_cancels_jobs_and_the_log_says_who(page, account, kubectl, pool, insert, jobs, tmp_path):
    kubectl.apply(pool(paused=True))
    insert(5)
    port = page()
    viewer, editor = opened(port, account("viewer", "view")), opened(port, account("editor", "edit"))
    until(lambda: shown(editor) == ["thumbs"])
    wanted = {"database": "main", "verb": "cancel", "filter": {"type": "thumbs"}}
    assert viewer("api/actions/preview", wanted)[0] == 403
    status, preview = editor("api/actions/preview", wanted)
    assert (status, preview["count"], len(preview["examples"])) == (200, 5, 5)
    assert viewer("api/actions", {"token": preview["token"], "confirm": 5})[0] == 409
    assert editor("api/actions", {"token": preview["token"], "confirm": 4})[0] == 409
    assert editor("api/actions", {"token": preview["token"], "confirm": 5})[0] == 200
    until(lambda: editor("api/actions")[1][0]["state"] == "done")
    assert editor("api/actions")[1][0]["done"] == 5
    who = f"system:serviceaccount:{kubectl.namespace}:editor"
    rows = jobs.execute("SELECT status::text, result #>> '{error,by}' FROM job_queue").fetchall()
    assert set(rows) == {("failed", who)}
    (line,) = [line for line in (tmp_path / "jobtide-0.log").read_text().splitlines() if f'"user": "{who}"' in line]
    assert json.loads(line).items() >= {"action": "cancel", "database": "main", "changed": 5, "state": "done"}.items()
    (found,) = editor("api/jobs?database=main&status=failed&limit=1")[1]["jobs"]
    status, again = editor("api/actions/preview", {"database": "main", "verb": "retry", "ids": [found["id"]]})
    assert (status, again["count"]) == (200, 1)
    kubectl("delete", "rolebinding", "editor-edit")
    assert until(lambda: editor("api/actions", {"token": again["token"], "confirm": 1})[0]) == 403


def test_payloads_need_a_verb_of_their_own(page, account, kubectl, pool, insert):
    kubectl.apply(pool(paused=True))
    insert(1)
    port = page()
    editor, auditor = opened(port, account("editor", "edit")), opened(port, account("auditor", "view", "payloads"))
    until(lambda: shown(editor) == ["thumbs"])
    (found,) = editor("api/jobs?database=main")[1]["jobs"]
    hidden, read = (one(f"api/jobs/main/{found['id']}?payload=1")[1] for one in (editor, auditor))
    assert (hidden["payload"], hidden["payload_hidden"]) == (None, True)
    assert (read["payload"], read["payload_hidden"]) == ({}, False)


def test_a_follower_says_who_leads(page, account, kubectl, pool):
    kubectl.apply(pool())
    leader = page("jobtide-0")
    token = account("viewer", "view")
    until(lambda: shown(opened(leader, token)) == ["thumbs"])
    follower = page("jobtide-1")
    until(lambda: Browser(follower)("api/leader")[1] == {"leader": False, "leader_name": "jobtide-0"})
    status, refusal = opened(follower, token)("api/overview")
    assert (status, refusal["error"]["message"]) == (503, "this controller waits: pod jobtide-0 leads")


def test_there_is_no_page_unless_it_is_enabled(controller):
    one = controller()
    until(lambda: one.port)
    assert "page_port" not in one.words
