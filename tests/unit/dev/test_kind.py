"""No Docker engine can be had where these tests run, so they hold the commands to the word."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.cluster.kind import KindCluster, why_not_kind
from dev.machine.shell import CommandError
from dev.tools.toolchain import KIND_NODE_IMAGE

KIND = Path("/tools/kind")
VERSION = "docker version --format {{.Server.Version}}"
PRIVILEGED = f"docker run --rm --privileged --entrypoint true {KIND_NODE_IMAGE}"


@pytest.fixture
def kind(recorder, tmp_path):
    return KindCluster(runner=recorder, program=KIND, directory=tmp_path)


def test_a_missing_cluster_is_created_from_the_pinned_image_and_awaited(kind, recorder, tmp_path):
    kubeconfig = tmp_path / "kind-jobtide.kubeconfig"

    assert kind.ensure() == kubeconfig
    assert recorder.commands == [
        "/tools/kind get clusters",
        f"/tools/kind create cluster --name jobtide --image {KIND_NODE_IMAGE} --wait 120s --kubeconfig {kubeconfig}",
        f"/tools/kind export kubeconfig --name jobtide --kubeconfig {kubeconfig}",
    ]


def test_a_cluster_that_is_there_is_only_asked_for_its_kubeconfig(kind, recorder, tmp_path):
    recorder.outputs["/tools/kind get clusters"] = "other\njobtide\n"

    kind.ensure()

    assert recorder.commands == [
        "/tools/kind get clusters",
        f"/tools/kind export kubeconfig --name jobtide --kubeconfig {tmp_path / 'kind-jobtide.kubeconfig'}",
    ]


def test_half_a_cluster_is_deleted_so_that_the_next_run_starts_anew(kind, recorder, tmp_path):
    recorder.failures["/tools/kind create"] = "no space left on device"

    with pytest.raises(CommandError, match="no space left"):
        kind.ensure()

    delete = f"/tools/kind delete cluster --name jobtide --kubeconfig {tmp_path / 'kind-jobtide.kubeconfig'}"
    assert recorder.commands[-1] == delete


def test_an_image_goes_in_as_an_archive(kind, recorder, cache):
    kind.load_image("localhost/worker:1", kind.engine)

    save, load = recorder.commands
    assert save.startswith(f"docker save --output {cache}/images/.unfinished-")
    assert save.endswith("/image.tar localhost/worker:1")
    archive = save.split()[3]
    assert load == f"/tools/kind load image-archive {archive} --name jobtide"
    assert not Path(archive).parent.exists()


def test_an_image_in_the_node_is_not_loaded_again(kind, recorder):
    recorder.outputs["docker exec jobtide-control-plane ctr -n k8s.io images list -q"] = "localhost/worker:1\n"

    assert kind.has_image("localhost/worker:1")
    assert not kind.has_image("localhost/worker:2")


def test_down_deletes_the_cluster_and_its_kubeconfig(kind, recorder, tmp_path):
    kubeconfig = tmp_path / "kind-jobtide.kubeconfig"
    kubeconfig.touch()

    kind.down()

    assert recorder.commands == [f"/tools/kind delete cluster --name jobtide --kubeconfig {kubeconfig}"]
    assert not kubeconfig.exists()


def test_kind_is_possible_once_a_privileged_container_was_seen_to_run(recorder):
    assert why_not_kind(recorder) is None
    assert recorder.commands == [VERSION, PRIVILEGED]


def test_no_answer_from_docker_is_a_reason_and_nothing_more_is_tried(recorder):
    recorder.failures["docker version"] = "Cannot connect to the Docker daemon"

    assert why_not_kind(recorder) == "no Docker engine answers"
    assert recorder.commands == [VERSION]


def test_a_refused_privileged_container_is_a_reason_with_dockers_words(recorder):
    recorder.failures["docker run"] = "unable to apply caps: operation not permitted"

    reason = why_not_kind(recorder)

    assert reason is not None
    assert "can't run a privileged container" in reason
    assert "unable to apply caps" in reason
