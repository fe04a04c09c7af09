"""Every code block of the pages has its check, and what needs no server is checked here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from dev.tools.toolchain import USUAL
from jobtide import __version__
from jobtide.doctor.kubectl import ADVICE
from jobtide_controller.api.refusals import refusals
from jobtide_controller.api.spec import RETENTION_MIN_SECONDS, JobWorkerPoolSpec, Retention, Tenants
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.decide.schedules import in_force
from jobtide_controller.kube.inventory.pod_trouble import cause_of, wait_of
from jobtide_controller.plugin import why
from jobtide_controller.render import columns
from tests.pages import (
    BLOCKS,
    CONSTANTS,
    EXPLAIN,
    INSTALL,
    OPERATIONS,
    QUICKSTART,
    README,
    ROOT,
    SUBJECTS,
    blocks,
    commands,
    shown,
)
from tests.unit.decide.builders import NOW, fleet, spec
from tests.unit.kube.waiting import CREATING, MOUNT_FAILED, event, placed
from tests.unit.plugin.pools import ACME, LATER, REFUSED, reported

HOUR, DAY = 3_600, 86_400


CHECKED = BLOCKS | SUBJECTS


@pytest.mark.parametrize("page", CHECKED)
def test_every_block_has_a_check(page):
    assert [language for language, _ in blocks(page)] == [block.language for block in CHECKED[page]], (
        "name each block, and its test, in tests/pages.py"
    )
    assert len({block.name for block in CHECKED[page]}) == len(CHECKED[page])


@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(page, block, id=f"{page}: {block.name}") for page, named in CHECKED.items() for block in named],
)
def test_the_check_of_a_block_names_it(page, block):
    named = f'{CONSTANTS[page]}, "{block.name}"'
    assert named in (ROOT / "tests" / block.test).read_text(), f"{block.test} does not check it"


# Installation

PIP = [
    (README, "install and start"),
    (QUICKSTART, "install here"),
    (QUICKSTART, "make the table"),
    (INSTALL, "make the table"),
    (EXPLAIN, "install the plugin"),
]


def test_these_are_all_blocks_that_install_a_package():
    having = {(page, block.name) for page in BLOCKS for block in BLOCKS[page] if "pip " in shown(page, block.name)}
    assert having == set(PIP)


def installed(page: str, name: str) -> str:
    (words,) = [words for words in commands(shown(page, name)) if words[0] == "pip"]
    assert words[:2] == ["pip", "install"]
    return words[2]


@pytest.mark.parametrize(("page", "name"), PIP)
def test_the_extra_of_the_package_exists(page, name):
    (extra,) = re.findall(r"\[(\w+)\]$", installed(page, name))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extra in extras


@pytest.mark.slow
@pytest.mark.parametrize("where", sorted({installed(*block).partition("[")[0] for block in PIP}))
def test_pip_finds_the_package_in_the_checkout(where, tmp_path):
    """With the build backend of this environment, and without the packages that it depends on: no registry is asked."""
    # A clone called jobtide beside the user's folder; `.` is the clone itself.
    (tmp_path / "jobtide").symlink_to(ROOT)
    (tmp_path / "mine").mkdir()
    offline = ("--dry-run", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", f"{where}[dev]", *offline],
        cwd=ROOT if where == "." else tmp_path / "mine",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Would install jobtide-{__version__}" in done.stdout


def test_the_command_of_the_readme_is_a_target_of_make():
    (words,) = commands(shown(README, "make demo"))
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_time_of_the_build_is_the_one_that_the_build_prints():
    page = (ROOT / QUICKSTART).read_text()
    assert f"source once, {USUAL} on two cores" in page
    assert len(re.findall(r"\bminutes\b|\d min\b", page)) == 1


def test_the_option_of_the_demo_that_the_quickstart_names_exists():
    (option,) = re.findall(r"-m dev\.demo (--[a-z-]+)", (ROOT / QUICKSTART).read_text())
    done = subprocess.run([sys.executable, "-m", "dev.demo", "--help"], capture_output=True, text=True, check=True)
    assert option in done.stdout


# Images

DOCKERFILE = (ROOT / "Dockerfile").read_text()
REGISTRY = "registry.example.com/jobtide"


@pytest.mark.parametrize(
    ("page", "name", "targets"),
    [(QUICKSTART, "build the images", ["controller", "worker"]), (INSTALL, "build and install", ["controller"])],
)
def test_the_images_that_a_page_builds_are_targets_of_the_dockerfile(page, name, targets):
    words = commands(shown(page, name))
    built = [command for command in words if command[:2] == ["docker", "build"]]
    assert [command[2:] for command in built] == [
        ["--target", target, "--tag", f"{REGISTRY}/{target}:{__version__}", "."] for target in targets
    ]
    assert [["docker", "push", command[5]] for command in built] == [w for w in words if w[:2] == ["docker", "push"]]
    assert set(targets) <= set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))


def test_the_context_of_the_build_has_every_file_that_the_dockerfile_copies():
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)).split()
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_image_of_the_handler_begins_from_the_worker_that_the_page_builds():
    base, copy, app = shown(QUICKSTART, "image of the handler").splitlines()
    tags = [words[5] for words in commands(shown(QUICKSTART, "build the images")) if words[1] == "build"]
    assert base == f"FROM {tags[1]}"
    worker = DOCKERFILE[DOCKERFILE.index("AS worker\n") :]
    assert (copy, "ENV PYTHONPATH=/app\n" in worker) == ("COPY thumbs.py /app/", True)
    assert app == f"ENV JOBTIDE_APP={shown(QUICKSTART, 'start').split()[-1]}"


# What kubectl prints


def listed(*rows: tuple[str, JobWorkerPool, float], namespaces: Sequence[str] = ()) -> str:
    """The pools, each with its name and age in seconds, as `kubectl get jwp` prints them."""
    table = [columns.head(), *(_cells(*row) for row in rows)]
    if namespaces:
        table = [(namespace, *row) for namespace, row in zip(("NAMESPACE", *namespaces), table, strict=True)]
    widths = [max(map(len, column)) + 3 for column in zip(*table, strict=True)]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "".join(f"{line}\n" for line in lines)


def _cells(name: str, pool: JobWorkerPool, age_seconds: float) -> tuple[str, ...]:
    created = datetime.fromtimestamp(NOW - age_seconds, UTC).isoformat()
    assert pool.status is not None
    item = {"metadata": {"name": name, "creationTimestamp": created}, "status": pool.status.as_object()}
    return columns.cells(item, NOW)


# Four workers that run, and are not ready: none of them reaches the database.
OUTAGE = reported(REFUSED, fleet(0, starting=4))


def test_the_pools_of_the_readme_are_as_kubectl_prints_them():
    depths = {Key("thumbs", ACME): Depth(due=8_140, running=96, oldest_age_seconds=12, mean_age_seconds=6)}
    thumbs = reported(depths, fleet(24, busy=24), types=["thumbs"], maxWaitSeconds=30, concurrency=4)
    rows = ("thumbs", thumbs, 9 * DAY), ("email", reported({}, fleet(0)), 2 * HOUR), ("sync", OUTAGE, 2 * HOUR)
    expected = "$ kubectl get jwp -A\n" + listed(*rows, namespaces=("media", "crm", "crm"))
    assert shown(README, "pools of a cluster") == expected


def test_the_pool_of_the_quickstart_is_as_kubectl_prints_it():
    pool = reported({Key("thumbs", ACME): Depth(due=1)}, fleet(0), types=["thumbs"], maxWaitSeconds=30, maxReplicas=20)
    expected = "$ kubectl get jwp --namespace media\n" + listed(("thumbs", pool, 12))
    assert shown(QUICKSTART, "the pool starts") == expected


def test_a_pool_in_an_outage_is_as_kubectl_prints_it():
    expected = "$ kubectl get jwp --namespace crm\n" + listed(("sync", OUTAGE, 2 * HOUR))
    assert shown(OPERATIONS, "outage") == expected


def test_the_limits_of_the_page_are_what_a_pool_takes():
    tenants = yaml.safe_load(shown(OPERATIONS, "limits of tenants"))["spec"]["tenants"]
    template = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
    spec = {"types": ["thumbs"], "tenants": tenants, "template": template}
    document = {"apiVersion": "jobtide.dev/v1alpha1", "kind": "JobWorkerPool", "spec": spec}
    assert refusals({**document, "metadata": {"name": "thumbs", "namespace": "media"}}) == []
    found = Tenants.model_validate(tenants)
    assert [(one.max_concurrent, one.weight, one.until is not None) for one in found.single.values()] == [
        (64, None, False),
        (0, None, True),
        (None, 3, False),
    ]


def test_the_retention_of_the_page_is_what_a_pool_takes():
    block = shown(OPERATIONS, "retention")
    retention = Retention.model_validate(yaml.safe_load(block)["spec"]["retention"])
    assert retention == Retention(completed_seconds=7 * DAY, failed_seconds=90 * DAY)
    assert f"at least {RETENTION_MIN_SECONDS}\n" in block


def test_the_windows_of_the_page_are_what_a_pool_takes_and_do_what_it_says():
    given = yaml.safe_load(shown(OPERATIONS, "windows"))["spec"]
    given["template"] = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
    assert refusals({"metadata": {"name": "reports", "namespace": "any"}, "spec": given}) == []
    five_past_nine = datetime(2026, 11, 27, 8, 5, tzinfo=UTC).timestamp()
    windows = in_force(JobWorkerPoolSpec.model_validate(given), five_past_nine, 10.0)
    assert [window.name for window in windows.active] == ["office-hours", "nine-o-clock"]
    assert (windows.spec.min_replicas, windows.min_by) == (12, "nine-o-clock")


def test_the_promises_of_the_page_are_what_a_pool_takes():
    promised = spec(**yaml.safe_load(shown(OPERATIONS, "promises"))["spec"])
    assert [promised.promise_of(type_) for type_ in promised.types] == [30, 600, 60]


def test_the_explanation_of_a_pool_is_as_the_plugin_prints_it():
    """That file is compared with the plugin beside it."""
    printed = (ROOT / "tests/unit/plugin/expected/why-scaling-up.txt").read_text()
    assert shown(EXPLAIN, "why") == f"$ kubectl jobtide why thumbs\n{printed}"


def test_the_trouble_of_a_pod_without_its_secret_is_as_the_plugin_prints_it():
    cause, _ = cause_of(wait_of(placed(CREATING)), [event("FailedMount", MOUNT_FAILED)], None)
    waiting = fleet(0, starting=1)
    waiting = replace(waiting, pods=(replace(waiting.pods[0], cause=cause, stuck=True),))
    printed = why.render(reported({Key("thumbs", ACME): Depth(due=1)}, waiting), LATER)
    (line,) = [line for line in printed.splitlines() if "Stalled=True" in line]
    page = re.sub(r"thumbs-worker-\w+-\w+", "thumbs-worker-a", shown(EXPLAIN, "message of a stalled pool"))
    assert line.removeprefix("trouble").strip() == page.rstrip("\n")


# Commands inside the text


def test_the_commands_of_make_inside_the_text_are_targets():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in BLOCKS for target in re.findall(r"[`(]make ([a-z-]+)", (ROOT / page).read_text())}
    assert named
    assert named <= targets


def test_what_the_plugin_says_after_an_error_of_kubectl_is_on_the_page():
    page = (ROOT / EXPLAIN).read_text()
    assert [advice for _, advice in ADVICE if advice not in page] == []
