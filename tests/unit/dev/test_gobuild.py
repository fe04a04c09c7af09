from __future__ import annotations

import pytest

from dev.tools.gobuild import Build, build, go_binary_name


def test_a_build_that_prints_more_than_a_pipe_holds_does_not_block(go, tmp_path):
    destination = tmp_path / "out" / "etcd-v3" / "etcd"

    build(Build("Building etcd", "1 s", tmp_path, "", tmp_path / "out", {"example.com/server/v3": destination}))

    assert destination.read_text() == "example.com/server/v3\n"
    assert list((tmp_path / "out").iterdir()) == [destination.parent]


@pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param("k8s.io/kubernetes/cmd/kubectl", "kubectl", id="command"),
        pytest.param("go.etcd.io/etcd/server/v3", "server", id="major-version"),
        pytest.param("./coredns", "coredns", id="own"),
    ],
)
def test_go_names_a_program_after_its_package(package, name):
    assert go_binary_name(package) == name
