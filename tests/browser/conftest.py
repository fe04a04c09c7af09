"""The page in a real Chromium, over `jobtide dev` on a real PostgreSQL: what a user does, and what a user sees.

site    the running page: site.url has the token; site.insert(...) adds jobs, site.statuses(...) counts them
tenant  a new tenant of this test alone; new_tenant(name) makes more of them
page    a logged-in page on the overview; at the end nothing may be in the console, and no request went elsewhere
open_page   open_page(width=390, scheme="dark", url=...) -> the same, with a window of its own
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright
from psycopg.types.json import Jsonb

from dev.machine.chromium import FLAGS, chromium
from dev.machine.npm import node_modules
from dev.machine.wait import first_true
from dev.postgres.server import Server
from jobtide.schema import apply

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 900
PATIENCE_MS = 60_000

# A direction mark, a line break, an escape sequence, markup, a character without width.
HOSTILE = "film\u202egpj.exe\n\x1b[31m<img src=x onerror=alert(1)>\u200b<script>alert(2)</script>"
# No pool has these types. They have waited for an hour when the controller starts: it looks for such
# types once a minute, and shows those that have waited for one.
UNSERVED = ("resize", HOSTILE)

APPLICATION = '''
"""Handlers whose ends the tests decide."""
import time
from pathlib import Path

from jobtide import Tide

tide = Tide()


@tide.job("echo")
def echo(payload):
    return {"echo": payload}


@tide.job("hold")
def hold(payload):
    while not Path(payload["file"]).exists():
        time.sleep(0.01)


@tide.job("wrong", max_attempts=1)
def wrong(payload):
    raise ValueError("no such film")
'''

POOLS = """
apiVersion: jobtide.dev/v1alpha1
kind: JobWorkerPool
metadata: {name: quick, namespace: media}
spec:
  types: [echo, wrong]
  promises: {wrong: 600}
  maxReplicas: 2
  scaleDown: {stabilizationSeconds: 2}
  template: {spec: {containers: [{name: worker, image: none}]}}
---
apiVersion: jobtide.dev/v1alpha1
kind: JobWorkerPool
metadata: {name: slow, namespace: media}
spec:
  types: [hold]
  concurrency: 1
  maxReplicas: 3
  schedules: [{name: always, cron: "@daily", durationSeconds: 86400, maxReplicas: 1, maxWaitSeconds: 90}]
  scaleDown: {stabilizationSeconds: 2}
  template: {spec: {containers: [{name: worker, image: none}]}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """A running `jobtide dev`, its database and its log."""

    popen: subprocess.Popen[bytes]
    log: Path
    folder: Path
    connection: psycopg.Connection[Any]

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        """With the token."""
        found = re.search(r"http://127\.0\.0\.1:\d+/#token=\S+", self.output)
        assert found is not None, self.output
        return found[0]

    @property
    def origin(self) -> str:
        return "http://" + urlsplit(self.url).netloc

    def tenant(self, name: str = "") -> str:
        row = self.connection.execute("INSERT INTO tenants (name) VALUES (%s) RETURNING id", [name]).fetchone()
        assert row is not None
        return str(row[0])

    def insert(self, tenant: str, type_: str, count: int = 1, payload: Any = None, **columns: Any) -> list[str]:
        """Ids of new rows; `columns` are further columns of them."""
        names = ["tenant_id", "type", "payload", *columns]
        values = [tenant, type_, Jsonb(payload or {}), *columns.values()]
        statement = psycopg.sql.SQL("INSERT INTO job_queue ({}) VALUES ({}) RETURNING id").format(
            psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, names)),
            psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() for _ in names),
        )
        return [str(self.connection.execute(statement, values).fetchone()[0]) for _ in range(count)]  # type: ignore[index]

    def failed(self, tenant: str, count: int = 1, message: str = "no such film", type_: str = "wrong") -> list[str]:
        """Ids of rows that failed long ago, by their timestamps."""
        result = Jsonb({"error": {"type": "ValueError", "message": message}})
        self.connection.execute(
            "INSERT INTO job_queue (tenant_id, type, status, result, attempts, created_at, completed_at) "
            "SELECT %s, %s, 'failed', %s, 3, now() - interval '2 hours', now() - interval '1 hour' "
            "FROM generate_series(1, %s)",
            [tenant, type_, result, count],
        )
        return [
            str(row[0]) for row in self.connection.execute("SELECT id FROM job_queue WHERE tenant_id = %s", [tenant])
        ]

    def forget(self, *tenants: str) -> None:
        """Delete their rows: the tests of a process share one site, and each expects its own rows alone."""
        self.connection.execute("DELETE FROM job_queue WHERE tenant_id = ANY(%s::uuid[])", [list(tenants)])

    def statuses(self, tenant: str) -> dict[str, int]:
        query = "SELECT status::text, count(*) FROM job_queue WHERE tenant_id = %s GROUP BY 1"
        return dict(self.connection.execute(query, [tenant]).fetchall())


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that the tests of a process share; one that a test stops is its own."""
    with Server(version=18) as running:
        yield running


def start_site(server: Server, folder: Path, name: str) -> Site:
    """`jobtide dev` on a new database of the server."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    apply(server.url(name), roles=True)
    connection = psycopg.connect(server.url(name), autocommit=True)
    for type_ in UNSERVED:
        connection.execute(
            "WITH made AS (INSERT INTO tenants DEFAULT VALUES RETURNING id) "
            "INSERT INTO job_queue (tenant_id, type, created_at) SELECT id, %s, now() - interval '1 hour' FROM made",
            [type_],
        )
    (folder / "acme").mkdir(parents=True)
    (folder / "acme/jobs.py").write_text(APPLICATION)
    (folder / "pools.yaml").write_text(POOLS)
    log = folder / "dev.log"
    arguments = ["dev", "acme.jobs:tide", "-f", "pools.yaml", "--no-reload", "--port", "0"]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "jobtide", *arguments, "--database-url", server.url(name)],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    site = Site(popen, log, folder, connection)
    first_true(lambda: "#token=" in site.output or popen.poll() is not None, within_seconds=60)
    return site


def end_site(site: Site) -> None:
    site.connection.close()
    for number in (signal.SIGINT, signal.SIGINT):
        if site.popen.poll() is None:
            site.popen.send_signal(number)
    try:
        site.popen.wait(20)
    except subprocess.TimeoutExpired:
        site.popen.kill()  # its guard ends the workers
        site.popen.wait(10)


@pytest.fixture(scope="session")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = start_site(server, tmp_path_factory.mktemp("site") / "work", "page")
    yield running
    end_site(running)


@pytest.fixture
def new_tenant(site: Site) -> Iterator[Callable[[str], str]]:
    """new_tenant("acme") -> its id. Its rows go when the test ends."""
    made: list[str] = []

    def make(name: str = "") -> str:
        made.append(site.tenant(name))
        return made[-1]

    yield make
    site.forget(*made)


@pytest.fixture
def tenant(new_tenant: Callable[[str], str]) -> str:
    return new_tenant("acme")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield launched
        launched.close()


@dataclass
class Watch:
    """What a page must not do: errors in the console, refused requests, requests to other places."""

    page: Page
    origin: str
    allowed: set[int]  # status codes of refusals that the test provokes
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # A refused request is judged by its status; a change of the network ends requests, which are repeated.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"console: {message.text}")

    def _request(self, url: str) -> None:
        if not url.startswith((self.origin + "/", "data:", "blob:")):
            self.problems.append(f"request to {url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.allowed:
            self.problems.append(f"{response.status} for {response.request.method} {response.url}")


Open = Callable[..., Page]


@pytest.fixture
def allowed() -> set[int]:
    return set()


@pytest.fixture
def open_page(browser: Browser, site: Site, allowed: set[int]) -> Iterator[Open]:
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def opened(
        *, width: int = WIDTH, height: int = HEIGHT, scheme: str = "light", url: str = "", title: str = "Overview"
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        address = url or site.url
        watches.append(Watch(page, "http://" + urlsplit(address).netloc, allowed))
        page.goto(address)
        if title:
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [problem for watch in watches for problem in watch.problems] == []


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


@pytest.fixture
def allow(allowed: set[int]) -> Callable[[int], None]:
    """allow(400): the test provokes this refusal."""
    return allowed.add


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, with its checksum in the lock file."""
    return (node_modules(HERE / "packages") / "axe-core/axe.min.js").read_text()


@pytest.fixture
def violations(axe: str) -> Callable[[Page], list[str]]:
    """violations(page) -> what axe finds, one line each."""

    def found(page: Page) -> list[str]:
        page.evaluate(axe)
        result: Mapping[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in result["violations"]
            for node in rule["nodes"]
        ]

    return found


def address(*parts: str, **query: str) -> str:
    """The fragment of a screen."""
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return "#/" + "/".join(quote(part, safe="") for part in parts) + (f"?{text}" if text else "")


def visit(page: Page, fragment: str) -> None:
    page.evaluate("fragment => { location.hash = fragment }", fragment)
