"""What `jobtide dev` can't work with is one sentence on stderr and exit code 1, before any worker starts."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.postgres.embedded.conftest import edit

APP = "acme.jobs:tide"


def refused(process, *words: str) -> None:
    assert process.popen.wait(60) == 1
    lines = process.output.splitlines()
    assert lines[-1].startswith("jobtide: ")
    assert [word for word in words if word not in lines[-1]] == []
    assert "Traceback" not in process.output
    assert " workers: " not in process.output


@pytest.mark.parametrize(
    ("app", "words"),
    [
        pytest.param("acme.jobs", ["'acme.jobs' is not of the form module:attribute"], id="no-attribute"),
        pytest.param("acme.job:tide", ["there is no module 'acme.job'"], id="no-module"),
        pytest.param("acme.jobs:tied", ["has no attribute 'tied'; it has tide"], id="wrong-attribute"),
        pytest.param("acme.jobs:CODE", ["acme.jobs:CODE is a str, not a jobtide.Tide"], id="no-tide"),
    ],
)
def test_an_application_that_is_none(dev, app, words):
    refused(dev(app), *words)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param('CODE = "old"', "CODE = (", "acme/jobs.py:9: SyntaxError: '(' was never closed", id="syntax"),
        pytest.param("import time\n", "import tiem\n", "acme/jobs.py:3: ModuleNotFoundError: No module", id="import"),
        pytest.param('CODE = "old"', "raise SystemExit(3)", "acme/jobs.py:9: SystemExit: 3", id="exit"),
        pytest.param('CODE = "old"', "import os; os._exit(4)", "ended its process with code 4", id="end"),
    ],
)
def test_an_application_that_cannot_be_imported(dev, folder, before, after, words):
    edit(folder / "acme/jobs.py", before, after)
    refused(dev(APP), words)


def test_no_application(dev):
    refused(dev(), "no application: give module:attribute")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param("concurrency: 1", "maxReplicas: 0", ["spec.maxReplicas: Invalid value: 0"], id="bound"),
        pytest.param("concurrency: 1", "maxWait: 5", ['unknown field "spec.maxWait"'], id="unknown-field"),
        pytest.param("concurrency: 1", "minReplicas: 50", ["maxReplicas (10) must be >= minReplicas (50)"], id="rule"),
        pytest.param(
            "hold, wrong]", "hold, film]", ["pool quick has the type 'film'", "'echo', 'hold'"], id="no-handler"
        ),
        pytest.param("kind: JobWorkerPool", "kind: Deployment", ["pools.yaml has no JobWorkerPool"], id="other-kind"),
        pytest.param("v1alpha1", "v2", ["apiVersion is 'jobtide.dev/v2': write jobtide.dev/v1alpha1"], id="version"),
        pytest.param("{name: quick}", "{}", ["a JobWorkerPool has no metadata.name"], id="no-name"),
        pytest.param("  concurrency", " concurrency", ["pools.yaml is not YAML", "line 7"], id="no-yaml"),
        pytest.param("\napi", "- a\n---\napi", ["document 1 is no Kubernetes object"], id="list"),
    ],
)
def test_a_file_of_pools_that_cannot_be_used(dev, folder, before, after, words):
    edit(folder / "pools.yaml", before, after)
    refused(dev(APP, "-f", "pools.yaml"), "pools.yaml" if "film" not in after else "pool", *words)


def test_a_file_that_does_not_exist(dev):
    refused(dev(APP, "-f", "missing.yaml"), "missing.yaml can't be read: No such file or directory")


def test_two_pools_of_one_name(dev, folder):
    text = (folder / "pools.yaml").read_text()
    (folder / "pools.yaml").write_text(f"{text}\n---\n{text}")
    refused(dev(APP, "-f", "pools.yaml"), "two JobWorkerPools named default/quick")


def test_pools_of_two_databases(dev, folder):
    text = (folder / "pools.yaml").read_text()
    other = text.replace("quick", "slow").replace("concurrency", "database: crm\n  concurrency")
    (folder / "pools.yaml").write_text(f"{text}\n---\n{other}")
    refused(dev(APP, "-f", "pools.yaml"), "its pools name the databases crm, main")


def test_a_port_in_use(dev):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(dev(APP, "--port", str(port)), f"port {port} of 127.0.0.1 can't be used", "choose another with --port")


@pytest.mark.parametrize("port", ["65536", "-1", "8080.0", "http", "0000065535"])
def test_a_port_that_is_none(dev, port):
    process = dev(APP, f"--port={port}")
    assert process.popen.wait(60) == 2
    assert process.output.splitlines()[-1].endswith(": expected a whole number from 0 to 65535")


def test_a_database_that_does_not_answer(dev):
    refused(dev(APP, url="postgresql://127.0.0.1:1/none"), "can't work with the database")


def test_a_malformed_url(dev):
    refused(dev(APP, url="mysql://secret@host/x"), "--database-url is no PostgreSQL URL")


def test_fresh_with_a_database_of_the_user(dev):
    refused(dev(APP, "--fresh"), "--fresh empties the database in .jobtide")


def test_a_second_session_in_the_same_folder(dev, wait_until):
    first = dev(APP)
    wait_until(lambda: first.says("can be read"))
    refused(dev(APP), f"another jobtide dev (process {first.popen.pid}) runs in")
    first.end(signal.SIGKILL)
    third = dev(APP)
    wait_until(lambda: third.says("can be read"))


def test_the_settings_of_the_environment_name_database_and_application(dev, database, wait_until):
    process = dev(url=None, JOBTIDE_APP=APP, JOBTIDE_DATABASE_URL=database)
    wait_until(lambda: process.says("can be read"))
