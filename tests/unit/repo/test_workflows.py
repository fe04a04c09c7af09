"""The workflows of a forge's CI run commands of people, with no more rights than these need."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.pages import ROOT

WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob(".github/workflows/*.yml"))}
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def scripts(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def scripts_of(name):
    return [script for job in WORKFLOWS[name]["jobs"].values() for script in scripts(job)]


def test_the_workflows_are_these():
    assert list(WORKFLOWS) == ["ci", "release"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_targets_that_exist(name):
    called = [script.split()[1] for script in scripts_of(name) if script.startswith("make ")]

    assert called
    assert set(called) <= TARGETS


def test_no_action_of_others_runs_and_those_of_the_forge_are_at_a_commit():
    """A tag of an action moves. Only a job that hands files to another needs one."""
    used = {name: [step["uses"] for step in steps(WORKFLOWS[name]) if "uses" in step] for name in WORKFLOWS}

    assert used.pop("release")
    assert not any(used.values())
    for action in (step["uses"] for step in steps(WORKFLOWS["release"]) if "uses" in step):
        assert re.fullmatch(r"actions/(upload|download)-artifact@[0-9a-f]{40}", action)


def test_ci_runs_what_people_run():
    own = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make ")]

    assert [script for script in scripts_of("ci") if script.startswith("make ")] == own


def test_only_the_job_that_publishes_a_release_may_write():
    assert WORKFLOWS["ci"]["permissions"] == {"contents": "read"}
    assert WORKFLOWS["release"]["permissions"] == {}
    assert {name: job["permissions"] for name, job in WORKFLOWS["release"]["jobs"].items()} == {
        "make": {"contents": "read"},
        "publish": {"contents": "write", "id-token": "write"},
    }


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_that_may_write_builds_nothing_and_installs_no_packages(name):
    """Every process of a job has its identity, and could change what a later step runs."""
    workflow = WORKFLOWS[name]
    allowed = [workflow.get("permissions", {}) | job.get("permissions", {}) for job in workflow["jobs"].values()]
    may_write = [
        job for job, rights in zip(workflow["jobs"].values(), allowed, strict=True) if "write" in rights.values()
    ]

    words = {word for job in may_write for script in scripts(job) for word in script.split()}
    assert not words & {"make", "pip", "uv", "npm", "docker", "buildah", "curl"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_token_is_given_to_the_steps_that_use_it_alone(name):
    given = {step["name"] for step in steps(WORKFLOWS[name]) if "${{ github.token }}" in str(step.get("env"))}
    assert given <= {"Check out", "Draft the release"}
    everywhere = [WORKFLOWS[name].get("env"), *(job.get("env") for job in WORKFLOWS[name]["jobs"].values())]
    assert "token" not in str(everywhere)


def test_what_is_signed_is_what_was_made():
    (script,) = [
        step["run"] for step in WORKFLOWS["release"]["jobs"]["publish"]["steps"] if "dev.release.sign" in str(step)
    ]
    checked, signed = script.splitlines()

    assert "sha256sum --check --strict" in checked
    assert signed.startswith("python3 -m dev.release.sign ")
    assert WORKFLOWS["release"]["jobs"]["publish"]["needs"] == "make"
    assert "COSIGN" not in str(WORKFLOWS["release"]["jobs"]["make"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_text_that_others_choose_is_part_of_a_script(name):
    """A branch or tag may be named like a command: its name is passed in a variable."""
    chosen = {"github.server_url", "github.repository", "github.sha"}
    used = {name for script in scripts_of(name) for name in re.findall(r"\$\{\{ (\S+) \}\}", script)}

    assert used <= chosen


def test_ci_has_the_machine_that_the_tests_need():
    """CONTRIBUTING.md: Debian 12, root, and the Go of the modules."""
    (job,) = WORKFLOWS["ci"]["jobs"].values()
    (go,) = re.findall(r"^go (\d+\.\d+)", (ROOT / "dev/tools/go.mod").read_text(), re.MULTILINE)

    assert job["container"] == {"image": f"golang:{go}-bookworm", "options": "--privileged"}
