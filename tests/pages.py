"""The pages that a new user walks, and for each of their code blocks the test that shows that it is true.

A test gets a block by its name, so a page that lies makes it fail. tests/unit/repo/test_pages.py refuses a block that
has no line here, and a line whose test does not name the block.
"""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = "README.md"
QUICKSTART, INSTALL = "docs/quickstart.md", "docs/install.md"
EXPLAIN, OPERATIONS, DOCTOR = "docs/explain.md", "docs/operations.md", "docs/doctor.md"
COMING_FROM, SUPABASE, GITOPS = "docs/coming-from.md", "docs/supabase.md", "docs/gitops.md"
NODES_AND_GPUS, SIZING, COMPARISON = "docs/nodes-and-gpus.md", "docs/sizing.md", "docs/comparison.md"
WORKER, PRODUCERS, TESTING, JOBS = "docs/worker.md", "docs/producers.md", "docs/testing.md", "docs/jobs.md"
DEV, PAGE, SIMULATE = "docs/dev.md", "docs/page.md", "docs/simulate.md"
SCHEMA, ADOPTION = "docs/schema.md", "docs/adoption.md"
FIRST_POOL = "examples/01-first-pool/README.md"
CHOOSING_A_PROMISE = "examples/02-choosing-a-promise/README.md"
BY_THE_CLOCK = "examples/03-by-the-clock/README.md"
SHORT_AND_LONG_PROMISES = "examples/04-short-and-long-promises/README.md"
DASHBOARDS = "docs/dashboards.md"


class Way(StrEnum):
    """How a block is checked."""

    RUN = "run as it is shown, with the placeholders filled in"
    RENDERED = "compared with what the code renders"
    PARSED = "compared with what its program or file accepts: it needs an index, a registry or an engine"


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    name: str
    way: Way
    test: str  # a file below tests/


_REPO, _CHART, _CLUSTER = "unit/repo/test_pages.py", "unit/chart/test_pages.py", "cluster/test_pages.py"
_MOVE, _GITOPS = "postgres/pages/test_coming_from.py", "unit/repo/test_gitops_page.py"
_NODES, _SUPABASE = "unit/repo/test_nodes_page.py", "postgres/pages/test_supabase.py"
_PODS = "e2e/test_selftest.py"
_TABLE, _DEV = "postgres/schema/test_pages.py", "postgres/embedded/test_front_page.py"

# In the order of each page.
BLOCKS: dict[str, tuple[Block, ...]] = {
    README: (
        Block("sh", "make demo", Way.PARSED, _REPO),
        Block("sh", "install and start", Way.RUN, _DEV),
        Block("python", "handler", Way.RUN, _DEV),
        Block("sql", "job", Way.RUN, _DEV),
        Block("yaml", "pool", Way.RUN, _DEV),
        Block("console", "pools of a cluster", Way.RENDERED, _REPO),
    ),
    QUICKSTART: (
        Block("sh", "install here", Way.PARSED, _REPO),
        Block("python", "handler", Way.RUN, _DEV),
        Block("sh", "start", Way.RUN, _DEV),
        Block("sh", "add jobs", Way.RUN, _DEV),
        Block("", "what the terminal shows", Way.RENDERED, _DEV),
        Block("sh", "programs of the local cluster", Way.RUN, _CLUSTER),
        Block("sh", "make the table", Way.RUN, _TABLE),
        Block("sql", "logins", Way.RUN, _TABLE),
        Block("sh", "build the images", Way.PARSED, _REPO),
        Block("sh", "install the controller", Way.RUN, _CLUSTER),
        Block("dockerfile", "image of the handler", Way.PARSED, _REPO),
        Block("sh", "secret of the workers", Way.RUN, _CLUSTER),
        Block("yaml", "pool", Way.RUN, _CLUSTER),
        Block("sql", "first job", Way.RUN, _TABLE),
        Block("console", "the pool starts", Way.RENDERED, _REPO),
    ),
    INSTALL: (
        Block("sh", "make the table", Way.RUN, _TABLE),
        Block("sql", "logins", Way.RUN, _TABLE),
        Block("sh", "secret of the controller", Way.RUN, _CLUSTER),
        Block("sh", "build and install", Way.RUN, _CLUSTER),
        Block("sh", "secret of the workers", Way.RUN, _CLUSTER),
        Block("sql", "tenant of the test", Way.RUN, _TABLE),
        Block("sh", "test", Way.RUN, _PODS),
        Block("", "what the test prints", Way.RENDERED, _PODS),
        Block("yaml", "several databases", Way.RENDERED, _CHART),
        Block("yaml", "several teams", Way.RENDERED, _CHART),
        Block("yaml", "admission policy", Way.RENDERED, _CHART),
        Block("yaml", "own CA", Way.RENDERED, _CHART),
        Block("yaml", "some namespaces", Way.RENDERED, _CHART),
    ),
    EXPLAIN: (
        Block("sh", "three commands", Way.RUN, _CLUSTER),
        Block("sh", "install the plugin", Way.PARSED, _REPO),
        Block("console", "why", Way.RENDERED, _REPO),
        Block("", "message of a stalled pool", Way.RENDERED, _REPO),
    ),
    OPERATIONS: (
        Block("sh", "upgrade", Way.RUN, _CLUSTER),
        Block("sh", "keep the newer CRD", Way.RUN, _CLUSTER),
        Block("sh", "uninstall", Way.RUN, _CLUSTER),
        Block("sh", "adopt the CRD", Way.RUN, _CLUSTER),
        Block("sh", "remove everything", Way.RUN, _CLUSTER),
        Block("yaml", "connection budget", Way.RENDERED, _CHART),
        Block("yaml", "windows", Way.PARSED, _REPO),
        Block("yaml", "limits of tenants", Way.PARSED, _REPO),
        Block("sh", "pause a tenant", Way.RUN, _CLUSTER),
        Block("yaml", "promises", Way.PARSED, _REPO),
        Block("yaml", "retention", Way.PARSED, _REPO),
        Block("sql", "oldest snapshots", Way.RUN, "postgres/controller/test_table_health.py"),
        Block("yaml", "alerts", Way.RENDERED, _CHART),
        Block("console", "outage", Way.RENDERED, _REPO),
        Block("sh", "inspect", Way.RUN, _CLUSTER),
    ),
    COMING_FROM: (
        Block("python", "handler", Way.RUN, _MOVE),
        Block("python", "producer", Way.RUN, _MOVE),
        Block("sh", "program", Way.RUN, _MOVE),
        Block("sql", "move from Procrastinate", Way.RUN, _MOVE),
        Block("sql", "move from River", Way.RUN, _MOVE),
        Block("sql", "move from Oban", Way.RUN, _MOVE),
        Block("sql", "move from pg-boss", Way.RUN, _MOVE),
        Block("sql", "move from Graphile Worker", Way.RUN, _MOVE),
        Block("yaml", "pool instead of a ScaledObject", Way.PARSED, _MOVE),
    ),
    SUPABASE: (
        Block("sql", "tenants and users", Way.RUN, _SUPABASE),
        Block("sh", "make the table", Way.RUN, _SUPABASE),
        Block("sql", "logins", Way.RUN, _SUPABASE),
        Block("javascript", "insert of a user", Way.PARSED, _SUPABASE),
        Block("sql", "function to enqueue", Way.RUN, _SUPABASE),
        Block("sql", "types that users may insert", Way.RUN, _SUPABASE),
        Block("sql", "schedule of pg_cron", Way.PARSED, _SUPABASE),
    ),
    GITOPS: (
        Block("yaml", "check of Argo CD", Way.RUN, _GITOPS),
        Block("yaml", "application of the chart", Way.RENDERED, "unit/chart/test_gitops_page.py"),
        Block("yaml", "Kustomization of Flux", Way.RUN, _GITOPS),
    ),
    NODES_AND_GPUS: (
        Block("yaml", "pool with a GPU", Way.RENDERED, _NODES),
        Block("yaml", "pool on spot nodes", Way.RENDERED, _NODES),
        Block("yaml", "budget of disruptions", Way.PARSED, _NODES),
    ),
    SIZING: (
        Block("python", "worked example", Way.RUN, "unit/repo/test_sizing_page.py"),
        Block("sql", "autovacuum of the table", Way.RUN, "postgres/pages/test_sizing.py"),
    ),
    COMPARISON: (),
    DASHBOARDS: (
        Block("yaml", "values", Way.RENDERED, "unit/chart/test_dashboards.py"),
        Block("yaml", "scrape without the operator", Way.RUN, "cluster/test_dashboards.py"),
    ),
    DOCTOR: (
        Block("sh", "ways to run it", Way.PARSED, "postgres/doctor/test_doctor.py"),
        Block("console", "all is well", Way.RENDERED, "postgres/doctor/test_doctor.py"),
    ),
}

_SUBJECT, _ROWS = "unit/repo/test_subject_pages.py", "postgres/schema/test_pages.py"
_PRODUCERS, _SIMULATED = "postgres/worker/test_producers.py", "unit/simulate/test_example.py"

# Pages about one subject, and the examples. Commands in their text are not run: only their blocks are checked.
SUBJECTS: dict[str, tuple[Block, ...]] = {
    WORKER: (
        Block("python", "handler", Way.RUN, _SUBJECT),
        Block("sh", "programs", Way.PARSED, _SUBJECT),
        Block("python", "process", Way.RUN, _SUBJECT),
    ),
    PRODUCERS: (
        Block("python", "in a transaction", Way.RUN, _PRODUCERS),
        Block("bash", "from a shell", Way.RUN, _PRODUCERS),
        Block("python", "schedule", Way.RUN, _SUBJECT),
        Block("sql", "statements", Way.RUN, _PRODUCERS),
        Block("javascript", "node", Way.RUN, _PRODUCERS),
    ),
    TESTING: (
        Block("python", "application", Way.RUN, "postgres/worker/test_testing.py"),
        Block("python", "its tests", Way.RUN, "postgres/worker/test_testing.py"),
    ),
    JOBS: (
        Block("", "commands", Way.PARSED, _SUBJECT),
        Block("sql", "login", Way.RUN, _ROWS),
        Block("", "command of the plugin", Way.PARSED, _SUBJECT),
    ),
    DEV: (
        Block("sh", "install and start", Way.PARSED, _SUBJECT),
        Block("sh", "add jobs", Way.PARSED, _SUBJECT),
        Block("", "what the terminal shows", Way.RENDERED, _SUBJECT),
        Block("", "refused pool", Way.RENDERED, _SUBJECT),
        Block("", "broken file", Way.RENDERED, "postgres/embedded/test_dev.py"),
    ),
    PAGE: (
        Block("", "address", Way.RENDERED, _SUBJECT),
        Block("yaml", "on", Way.RENDERED, _CHART),
        Block("sh", "payloads", Way.RENDERED, _CHART),
        Block("sql", "login", Way.RUN, _ROWS),
        Block("yaml", "jobs of a database", Way.RENDERED, _CHART),
        Block("yaml", "behind an ingress", Way.RENDERED, _CHART),
    ),
    SIMULATE: (
        Block("", "commands", Way.PARSED, _SUBJECT),
        Block("", "past jobs as a file", Way.RUN, _ROWS),
    ),
    SCHEMA: (
        Block("", "commands", Way.PARSED, _SUBJECT),
        Block("", "for a migration", Way.PARSED, _SUBJECT),
        Block("sql", "logins", Way.RUN, "postgres/schema/test_docs.py"),
        Block("sql", "claims of a user", Way.RUN, "postgres/schema/test_docs.py"),
        Block("sql", "columns of users", Way.RUN, "postgres/schema/test_docs.py"),
    ),
    ADOPTION: (
        Block("", "check and apply", Way.PARSED, _SUBJECT),
        Block("", "requeue", Way.PARSED, _SUBJECT),
    ),
    FIRST_POOL: (
        Block("sh", "here", Way.PARSED, _SUBJECT),
        Block("sh", "in a cluster", Way.RUN, _CLUSTER),
        Block("sql", "jobs", Way.RUN, _ROWS),
        Block("sh", "watch", Way.RUN, _CLUSTER),
        Block("sql", "results", Way.RUN, _ROWS),
    ),
    CHOOSING_A_PROMISE: (Block("console", "simulation", Way.RUN, _SIMULATED),),
    BY_THE_CLOCK: (
        Block("console", "simulation", Way.RUN, _SIMULATED),
        Block("", "without windows", Way.RUN, _SIMULATED),
    ),
    SHORT_AND_LONG_PROMISES: (Block("console", "simulation", Way.RUN, _SIMULATED),),
}
CONSTANTS = {path: name for name, path in globals().items() if isinstance(path, str) and path.endswith(".md")}

_FENCED = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAMS = "kubectl|helm|jobtide|make|pip|python3|docker"
_INLINE = re.compile(rf"(?<!`)`((?:{_PROGRAMS})[^`\n]*)`")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of all fenced blocks."""
    return _FENCED.findall((ROOT / page).read_text())


def shown(page: str, name: str) -> str:
    """The text of the block of this name."""
    known = (BLOCKS | SUBJECTS)[page]
    (position,) = [number for number, block in enumerate(known) if block.name == name]
    language, text = blocks(page)[position]
    assert language == known[position].language, f"{page}: block {position + 1} is not {name!r}"
    return text


def commands(text: str) -> list[list[str]]:
    """The words of each command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_commands(page: str, program: str) -> list[str]:
    """Commands of this program inside the text; one that is only named (`kubectl apply`) is none."""
    prose = _FENCED.sub("", (ROOT / page).read_text())
    found = [text for text in _INLINE.findall(prose) if text.split()[0] == program]
    return [text for text in found if len(text.split()) > 2]
