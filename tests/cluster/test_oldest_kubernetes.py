"""The API server of the oldest Kubernetes that docs/support.md names: the chart, the rules of the CRD, the controller.

These are tests of the newest one, chosen for what an older server may do in another way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster.control_plane import ControlPlane, control_plane
from dev.machine.environment import ROOT
from dev.release.chart import CHART
from dev.tools.toolchain import OLDEST_APISERVER, OLDEST_KUBERNETES, ensure_tools
from tests.cluster import (
    test_admission_policy,
    test_chart,
    test_controller_apply,
    test_controller_process,
    test_crd,
    test_crd_status,
)
from tests.cluster.conftest import Kubectl
from tests.cluster.controllers import holder, until
from tests.cluster.test_chart import PREPARATION, Release

BAD = Path(__file__).parent / "bad"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """With the CRD as the chart installs it."""
    with control_plane(tmp_path_factory.mktemp("oldest"), apiserver=OLDEST_APISERVER) as running:
        kubectl = Kubectl(running.kubectl, running.kubeconfig)
        for command in PREPARATION:
            kubectl(*command.split())
        Release(ensure_tools("helm")["helm"], ROOT / CHART, _environment(running)).upgrade()
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/jobworkerpools.jobtide.dev")
        yield running


def _environment(plane: ControlPlane) -> dict[str, str]:
    path = f"{plane.kubectl.parent}:{os.environ['PATH']}"
    return {**os.environ, "KUBECONFIG": str(plane.kubeconfig), "PATH": path}


@pytest.fixture(scope="module")
def anywhere(plane: ControlPlane) -> Kubectl:
    return Kubectl(plane.kubectl, plane.kubeconfig)


@pytest.fixture(scope="module")
def environment(plane: ControlPlane) -> dict[str, str]:
    return _environment(plane)


packages, release = test_chart.packages, test_chart.release


def test_the_server_is_the_one_that_the_page_names(anywhere):
    assert json.loads(anywhere("version", "--output=json"))["serverVersion"]["gitVersion"] == OLDEST_KUBERNETES.version


def test_every_bad_pool_is_refused_with_field_value_and_fix(anywhere):
    """In one command: each costs a start of kubectl."""
    done = anywhere.run("apply", "--filename", str(BAD))
    assert done.stdout == ""
    refusal = done.stderr.replace("map[string]interface {}", "")  # an older server shows Go's type before a value
    words = [file.read_text().splitlines()[0].removeprefix(test_crd.REFUSED) for file in test_crd.BAD]
    assert [one for one in words if one not in refusal] == []


test_restricted_namespace = test_chart.test_a_restricted_namespace_accepts_the_release_without_a_warning
test_rights = test_chart.test_the_api_server_grants_the_used_rights_and_no_similar_ones
test_uninstall = test_chart.test_an_uninstall_keeps_the_pools_and_a_later_install_finds_them

install = test_admission_policy.install
test_policy = test_admission_policy.test_policy_refuses_what_is_no_template_and_names_the_field
test_rights_of_users = test_admission_policy.test_user_without_rights_to_deployments_makes_no_pool

test_defaults = test_crd.test_smallest_pool_gets_every_default
test_template = test_crd.test_template_keeps_fields_that_the_crd_does_not_know
test_immutable_field = test_crd.test_database_of_a_pool_never_changes
test_windows = test_crd.test_windows_keep_their_order_and_get_a_timezone
test_scale = test_crd.test_kubectl_scale_pins_and_removing_the_pin_unpins
test_scale_status = test_crd.test_scale_subresource_reads_the_status
test_table = test_crd.test_table_shows_how_far_behind_and_why
test_whole_status = test_crd_status.test_a_pool_with_all_kinds_of_limits_at_once_has_a_status_that_is_stored_completely

test_field_managers = test_controller_apply.test_each_manager_owns_its_own_fields_and_nothing_else
test_steady_pool = test_controller_apply.test_a_steady_pool_costs_no_write_at_all
test_edit = test_controller_apply.test_what_a_pool_no_longer_says_goes_from_the_deployment
test_replicas = test_controller_apply.test_scaling_writes_the_number_alone
test_late_write = test_controller_apply.test_a_write_that_was_decided_before_another_clients_is_refused
test_refused_template = test_controller_apply.test_a_template_that_the_api_server_refuses_is_reported_in_its_words
test_status = test_controller_apply.test_a_field_that_left_the_status_goes
test_event = test_controller_apply.test_an_event_is_shown_by_kubectl_describe

test_controller = test_controller_process.test_jobs_start_workers_and_the_pool_explains_why


def test_a_second_controller_takes_the_lease_when_the_first_one_stops(controller, kubectl):
    first = controller("jobtide-0")
    until(lambda: holder(kubectl) == "jobtide-0")
    controller("jobtide-1")
    assert first.stop() == 0
    until(lambda: holder(kubectl) == "jobtide-1")
