"""Real processes, found by their mark alone."""

from __future__ import annotations

import os
import subprocess

import pytest

from dev.machine.daemons import GROUP_VARIABLE, Daemons
from dev.machine.wait import wait_until

SLEEP = ["sleep", "600"]


@pytest.fixture
def daemons(tmp_path):
    group = Daemons(tmp_path)
    yield group
    group.kill()


def test_a_started_process_is_found_by_its_name_at_once(daemons):
    daemons.start("etcd", SLEEP)

    assert len(daemons.running("etcd")) == 1
    assert daemons.running("kubelet") == set()


def test_a_later_command_finds_and_ends_what_an_earlier_one_started(daemons, tmp_path):
    daemons.start("etcd", SLEEP)
    later = Daemons(tmp_path)

    later.kill("etcd")

    assert daemons.running() == set()


def test_children_are_found_too(daemons):
    daemons.start("shim", ["sh", "-c", "sleep 600 & echo started; wait"])
    wait_until("its output", lambda: "started" in daemons.log("shim").read_text(), within_seconds=10)

    assert len(daemons.running()) == 2


def test_an_unmarked_process_is_never_killed(daemons, tmp_path):
    elsewhere = {**os.environ, GROUP_VARIABLE: f"{tmp_path}-another"}
    with (
        subprocess.Popen(SLEEP) as unmarked,
        subprocess.Popen(SLEEP, env=elsewhere) as of_another_group,
    ):
        daemons.start("etcd", SLEEP)
        daemons.kill()
        assert unmarked.poll() is None
        assert of_another_group.poll() is None
        unmarked.kill()
        of_another_group.kill()


def test_a_process_that_ends_at_once_is_not_running_and_leaves_its_output(daemons):
    daemons.start("etcd", ["sh", "-c", "echo no such flag >&2; exit 1"])
    wait_until("its output", lambda: "no such flag" in daemons.log("etcd").read_text(), within_seconds=10)
    daemons.kill("etcd")

    assert daemons.running("etcd") == set()


def test_it_outlives_the_terminal(daemons):
    daemons.start("etcd", SLEEP)
    (pid,) = daemons.running("etcd")

    assert os.getsid(pid) == pid
