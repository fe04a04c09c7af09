from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.images.base_image import BASE_IMAGE, debian_mirror, ensure_base_image
from dev.images.engines import Buildah, Docker, Recipe, choose_engine, older
from dev.stage.images import ROOT, content_digest, ensure_image


@dataclass(slots=True)
class ScriptedEngine:
    """Remembers what it built, and what was in the context then."""

    name: str = "scripted"
    built: list[Recipe] = field(default_factory=list)
    contexts: list[set[str]] = field(default_factory=list)

    def prepare(self) -> None:
        pass

    def has(self, reference):
        return reference in {recipe.reference for recipe in self.built}

    def base_args(self):
        return {"BASE_IMAGE": BASE_IMAGE}

    def build(self, recipe):
        self.built.append(recipe)
        files = (path for path in recipe.context.rglob("*") if path.is_file())
        self.contexts.append({str(path.relative_to(recipe.context)) for path in files})

    def save(self, reference, archive):
        archive.touch()

    def push(self, reference):
        pass

    def forget_old(self, reference):
        pass


@dataclass(slots=True)
class ScriptedCluster:
    engine: ScriptedEngine = field(default_factory=ScriptedEngine)
    name: str = "scripted"
    image_prefix: str = "localhost"
    loaded: list[str] = field(default_factory=list)

    def has_image(self, reference):
        return reference in self.loaded

    def load_image(self, reference, engine):
        self.loaded.append(reference)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "app" / "__pycache__").mkdir(parents=True)
    (root / "app" / "jobs.py").write_text("tide = 1\n")
    (root / "app" / "__pycache__" / "jobs.pyc").write_text("noise")
    (root / "notes.txt").write_text("not asked for")
    (root / "Dockerfile").write_text("ARG BASE_IMAGE=python\nFROM ${BASE_IMAGE}\n")
    return root


def ensure(cluster, tree, **changes):
    options = {"dockerfile": tree / "Dockerfile", "context_root": tree, "context_paths": ["app"], **changes}
    return ensure_image(cluster, "app", **options)


def test_an_unchanged_tree_is_built_and_loaded_once(tree):
    cluster = ScriptedCluster()

    first, second = ensure(cluster, tree), ensure(cluster, tree)

    assert first == second
    assert len(cluster.engine.built) == 1
    assert cluster.loaded == [first]


def test_a_new_cluster_gets_the_image_without_a_build(tree):
    old = ScriptedCluster()
    new = ScriptedCluster(engine=old.engine)

    ensure(old, tree)
    reference = ensure(new, tree)

    assert len(old.engine.built) == 1
    assert new.loaded == [reference]


def test_the_context_holds_what_was_asked_for_and_nothing_else(tree):
    cluster = ScriptedCluster()

    ensure(cluster, tree)

    assert cluster.engine.contexts == [{"app/jobs.py"}]


def test_the_base_is_passed_only_to_a_dockerfile_that_declares_it(tree):
    cluster = ScriptedCluster()
    plain = tree / "plain.Dockerfile"
    plain.write_text("FROM scratch\n")

    ensure(cluster, tree)
    ensure(cluster, tree, dockerfile=plain)

    with_base, without_base = cluster.engine.built
    assert with_base.build_args["BASE_IMAGE"] == BASE_IMAGE
    assert "BASE_IMAGE" not in without_base.build_args


def test_a_missing_path_is_named(tree):
    with pytest.raises(FileNotFoundError, match="no-such-folder is to be copied into an image and does not exist"):
        ensure(ScriptedCluster(), tree, context_paths=["no-such-folder"])


@pytest.mark.parametrize("change", ["content", "mode", "name", "dockerfile", "target", "argument"])
def test_everything_that_decides_the_content_decides_the_tag(change, tree):
    def digest(target=None, arguments=None):
        return content_digest(tree / "Dockerfile", tree, ["app"], target, arguments or {})

    before = digest()
    jobs = tree / "app" / "jobs.py"
    match change:
        case "content":
            jobs.write_text("tide = 2\n")
        case "mode":
            jobs.chmod(0o755)
        case "name":
            jobs.rename(jobs.with_name("tasks.py"))
        case "dockerfile":
            (tree / "Dockerfile").write_text("FROM scratch\n")
    after = digest("worker" if change == "target" else None, {"A": "1"} if change == "argument" else None)

    assert after != before


def test_compiled_files_and_times_do_not_change_the_tag(tree):
    before = content_digest(tree / "Dockerfile", tree, ["app"], None, {})
    (tree / "app" / "__pycache__" / "jobs.pyc").write_text("other noise")
    (tree / "app" / "jobs.py").touch()

    assert content_digest(tree / "Dockerfile", tree, ["app"], None, {}) == before


def test_old_versions_of_an_image_are_forgotten_and_others_are_not():
    listed = ["l/app:5", "l/app:4", "l/other:1", "l/app:3", "l/app:2", "l/app:1"]

    assert older(listed, "l/app:5") == ["l/app:2", "l/app:1"]


@pytest.fixture
def recipe(tmp_path):
    return Recipe("localhost/app:1", Path("/src/Dockerfile"), Path("/ctx"), "worker", {"BASE_IMAGE": "b"})


def test_docker_builds_with_these_words(recipe, recorder):
    Docker(recorder).build(recipe)

    (command,) = recorder.commands
    assert command.startswith(
        "docker build --tag localhost/app:1 --file /src/Dockerfile --target worker --build-arg BASE_IMAGE=b"
    )
    assert command.endswith(" /ctx")


def test_buildah_builds_from_its_own_storage_and_clears_an_interrupted_build_first(recipe, recorder, cache):
    Buildah(recorder).build(recipe)

    storage = (
        f"buildah --root {cache}/images/storage --runroot {cache}/images/run "
        "--storage-driver overlay --storage-opt overlay.skip_mount_home=true"
    )
    clear, command = recorder.commands
    assert clear == f"{storage} rm --all"
    assert command.startswith(
        f"{storage} build --isolation chroot --network host --pull-never --layers --tag localhost/app:1 "
        "--file /src/Dockerfile --target worker --build-arg BASE_IMAGE=b"
    )


def test_docker_is_preferred_where_it_answers(recorder, new_recorder):
    assert choose_engine(recorder).name == "docker"
    assert choose_engine(new_recorder(failures={"docker version": "no"})).name == "buildah"


def test_a_base_image_that_is_there_is_not_made_again(recorder):
    assert ensure_base_image(["buildah"], recorder) == BASE_IMAGE
    assert recorder.commands == [f"buildah inspect --type image {BASE_IMAGE}"]


def test_the_base_comes_from_the_mirror_that_apt_uses(new_recorder):
    listed = "http://mirror.example/debian bookworm\nhttp://mirror.example/security bookworm-security\n"

    assert debian_mirror(new_recorder(outputs={"apt-get indextargets": listed})) == "http://mirror.example/debian"


@pytest.mark.parametrize("listed", ["", "http://archive.example/ubuntu noble\n"], ids=["none", "another-release"])
def test_a_machine_of_another_kind_leaves_the_mirror_to_debootstrap(listed, new_recorder):
    assert debian_mirror(new_recorder(outputs={"apt-get indextargets": listed})) is None


@pytest.mark.parametrize("target", ["controller", "worker"])
def test_the_dockerfile_has_both_targets_and_neither_runs_as_root(target):
    _, _, stage = (ROOT / "Dockerfile").read_text().partition(f"FROM base AS {target}\n")

    assert "\nUSER 65532:65532\n" in stage.partition("\nFROM ")[0]
