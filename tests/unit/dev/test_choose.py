from __future__ import annotations

import pytest

from dev.cluster.choose import choose_cluster
from dev.cluster.given import GivenCluster
from dev.cluster.kind import KindCluster
from dev.cluster.local import LocalCluster
from dev.cluster.local.layout import Layout
from dev.machine.errors import DevError


def root() -> int:
    return 0


def a_user() -> int:
    return 1000


@pytest.fixture
def local(tmp_path):
    return LocalCluster(Layout(state=tmp_path / "state", runtime=tmp_path / "run"))


@pytest.mark.parametrize(
    ("environ", "context"),
    [
        pytest.param({"CONTEXT": "prod"}, "prod", id="context"),
        pytest.param({"KUBECONFIG": "/home/me/.kube/config"}, None, id="kubeconfig"),
        pytest.param({"CONTEXT": "prod", "KUBECONFIG": "/home/me/.kube/config"}, "prod", id="both"),
    ],
)
def test_a_given_cluster_wins_and_docker_is_not_asked(environ, context, recorder, local):
    chosen = choose_cluster(environ, runner=recorder, local=local, user_id=a_user)

    assert isinstance(chosen, GivenCluster)
    assert chosen.context == context
    assert recorder.commands == []


def test_a_given_cluster_wins_over_a_local_one_that_runs(recorder, local):
    local.layout.state.mkdir()
    local.kubeconfig.touch()

    assert isinstance(choose_cluster({"CONTEXT": "prod"}, runner=recorder, local=local), GivenCluster)


@pytest.mark.parametrize("by", ["context", "kubeconfig"])
def test_our_own_clusters_are_recognised_if_they_are_given(by, recorder, local):
    environ = {"CONTEXT": "jobtide-local"} if by == "context" else {"KUBECONFIG": str(local.kubeconfig)}

    assert choose_cluster(environ, runner=recorder, local=local) is local
    kind = KindCluster().kubeconfig
    environ = {"CONTEXT": "kind-jobtide"} if by == "context" else {"KUBECONFIG": str(kind)}
    assert isinstance(choose_cluster(environ, runner=recorder, local=local), KindCluster)


def test_empty_variables_are_not_given(recorder, local):
    chosen = choose_cluster({"CONTEXT": "", "KUBECONFIG": ""}, runner=recorder, local=local, user_id=root)

    assert isinstance(chosen, KindCluster)


def test_with_docker_kind_is_chosen(recorder, local):
    assert isinstance(choose_cluster({}, runner=recorder, local=local, user_id=a_user), KindCluster)


def test_a_local_cluster_that_was_chosen_before_is_chosen_again(recorder, local):
    local.layout.state.mkdir()
    local.kubeconfig.touch()

    assert choose_cluster({}, runner=recorder, local=local, user_id=root) is local
    assert recorder.commands == []


def test_without_docker_the_local_cluster_is_chosen_and_the_reason_is_printed(recorder, local, capsys):
    recorder.failures["docker version"] = "Cannot connect"

    assert choose_cluster({}, runner=recorder, local=local, user_id=root) is local
    assert capsys.readouterr().err == "Using the local cluster, because no Docker engine answers.\n"


def test_without_root_and_without_docker_the_error_names_the_three_remedies(recorder, local):
    recorder.failures["docker version"] = "Cannot connect"

    with pytest.raises(DevError, match=r"needs root.*run this as root, start Docker, or name an existing cluster"):
        choose_cluster({}, runner=recorder, local=local, user_id=a_user)


def test_a_given_cluster_needs_a_registry_for_images():
    with pytest.raises(DevError, match="cluster prod takes images from a registry only: set REGISTRY="):
        _ = GivenCluster(context="prod", registry=None).image_prefix


def test_images_for_a_given_cluster_are_pushed_to_its_registry(recorder, tmp_path):
    cluster = GivenCluster("prod", "registry.example/acme", recorder, program=tmp_path / "kubectl")

    cluster.load_image(f"{cluster.image_prefix}/worker:1", cluster.engine)

    assert recorder.commands[-1] == "docker push registry.example/acme/worker:1"


def test_a_given_cluster_is_used_through_a_private_copy_of_its_one_context(recorder, tmp_path):
    recorder.outputs["/k --context prod config view"] = "the one context"
    cluster = GivenCluster("prod", None, recorder, program="/k")

    kubeconfig = cluster.ensure()

    assert kubeconfig.read_text() == "the one context"
    assert kubeconfig.stat().st_mode & 0o077 == 0
    assert recorder.commands == [
        "/k --context prod config view --minify --flatten --raw",
        f"/k --kubeconfig {kubeconfig} get --raw /readyz",
    ]
