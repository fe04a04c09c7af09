"""kind without Docker: the real code runs a kind and a docker that are scripts and keep clusters as files."""

from __future__ import annotations

import pytest

from dev.cluster.kind import KindCluster, why_not_kind
from dev.machine.shell import CommandError, run
from dev.tools.toolchain import KIND_NODE_IMAGE

# A creation that fails leaves half a cluster, as kind does when it is interrupted.
KIND = """
case "$1 $2" in
"get clusters") ls clusters 2>/dev/null || true ;;
"create cluster") mkdir -p clusters; mkdir "clusters/$4"; fails create; echo whole > "clusters/$4/nodes" ;;
"delete cluster") fails delete; rm -rf "clusters/$4" ;;
"export kubeconfig") cat "clusters/$4/nodes" > "$6" ;;
"load image-archive") fails load; cat "$3" >> loaded ;;
*) echo "unknown command: $*" >&2; exit 2 ;;
esac
"""
DOCKER = """
case "$1" in
version) fails version ;;
run) [ "$3" = --privileged ]; fails run ;;
save) echo "$4" > "$3" ;;
exec) cat loaded ;;
*) echo "unknown command: $*" >&2; exit 2 ;;
esac
"""


@pytest.fixture
def kind(fake_program, tmp_path):
    fake_program("docker", DOCKER)
    return KindCluster(program=fake_program("kind", KIND), directory=tmp_path / "kubeconfigs")


def clusters(state):
    return [path.name for path in (state / "clusters").glob("*")]


def test_a_missing_cluster_is_created_once(kind, state):
    first = kind.ensure()
    (state / "broken-create").write_text("it is there already")

    assert kind.ensure() == first
    assert first.read_text() == "whole\n"
    assert clusters(state) == ["jobtide"]


def test_a_failed_creation_leaves_no_half_cluster_for_the_next_run(kind, state):
    broken = state / "broken-create"
    broken.write_text("no space left on device")

    with pytest.raises(CommandError, match=r"create cluster .* exit code 1: no space left on device"):
        kind.ensure()
    assert clusters(state) == []

    broken.unlink()
    assert kind.ensure().read_text() == "whole\n"


def test_an_interrupted_creation_leaves_no_half_cluster(kind, state, tmp_path):
    def interrupted(arguments, **options):
        output = run(arguments, **options)
        if "create" in arguments:
            raise KeyboardInterrupt
        return output

    with pytest.raises(KeyboardInterrupt):
        KindCluster(runner=interrupted, program=kind.program, directory=tmp_path).ensure()

    assert clusters(state) == []


def test_a_failed_clean_up_does_not_hide_why_the_creation_failed(kind, state):
    (state / "broken-create").write_text("no space left on device")
    (state / "broken-delete").write_text("no answer from docker")

    with pytest.raises(CommandError, match="no space left on device"):
        kind.ensure()


def test_an_image_is_loaded_from_an_archive_that_is_removed(kind, cache):
    kind.load_image("localhost/worker:1", kind.engine)

    assert kind.has_image("localhost/worker:1")
    assert not kind.has_image("localhost/worker:2")
    assert list((cache / "images").iterdir()) == []


def test_an_image_that_can_not_be_loaded_leaves_no_archive_behind(kind, state, cache):
    (state / "broken-load").write_text("no space left on device")

    with pytest.raises(CommandError, match="no space left on device"):
        kind.load_image("localhost/worker:1", kind.engine)

    assert list((cache / "images").iterdir()) == []


def test_down_removes_the_cluster_and_its_kubeconfig_and_may_be_repeated(kind, state):
    kubeconfig = kind.ensure()

    kind.down()
    kind.down()

    assert clusters(state) == []
    assert not kubeconfig.exists()


@pytest.mark.usefixtures("kind")
def test_kind_is_possible_where_a_privileged_container_runs():
    assert why_not_kind() is None


@pytest.mark.parametrize(
    ("broken", "words", "reason"),
    [
        pytest.param("version", "Cannot connect", "no Docker engine answers", id="no-engine"),
        pytest.param(
            "run", "operation not permitted", f"run a privileged container of {KIND_NODE_IMAGE}", id="refused"
        ),
    ],
)
@pytest.mark.usefixtures("kind")
def test_what_stands_in_the_way_of_kind_is_named(broken, words, reason, state):
    (state / f"broken-{broken}").write_text(words)

    assert reason in why_not_kind()


def test_a_missing_docker_is_a_reason_too(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    assert why_not_kind() == "no Docker engine answers"
