from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from dev.cluster.given import GivenCluster
from dev.cluster.kind import KindCluster
from dev.cluster.local import LocalCluster
from dev.images.base_image import BASE_IMAGE, _commit, debian_mirror, ensure_base_image
from dev.images.engines import Buildah, Docker, Engine, Recipe, choose_engine, older
from dev.machine.shell import CommandError, run
from dev.stage.images import ROOT, content_digest, ensure_controller_image, ensure_image, ensure_worker_image
from dev.stage.stage import _ensure_images
from tests.pages import INSTALL

COPY = re.compile(r"^COPY (\S+) ", re.MULTILINE)


@dataclass(slots=True)
class ScriptedEngine:
    """Records what it built, and the files in the context."""

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


def test_both_images_have_one_base_pinned_by_digest():
    bases = {
        re.search(r"^ARG BASE_IMAGE=(.*)$", path.read_text(), re.MULTILINE)[1]
        for path in (ROOT / "Dockerfile", ROOT / "dev/stage/postgres.Dockerfile")
    }

    (base,) = bases
    assert re.fullmatch(r"docker\.io/library/python:3\.13-slim@sha256:[0-9a-f]{64}", base)


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


# An engine keeps each image as a file of the files in its context. Options stand before the verb of buildah.
ENGINE = """
while [ "${1#--}" != "$1" ]; do shift 2; done
verb=$1
fails "$verb"
last() { shift $(($# - 1)); echo "$1"; }
case "$verb $2" in
"image inspect" | "inspect --type") [ -e "images/$(last "$@" | tr / _)" ] ;;
"image ls" | "images --format") ;;
"build --tag" | "build --isolation")
    [ ! -e containers ] || { echo "a container of an interrupted build is mounted" >&2; exit 1; }
    context=$(last "$@")
    while [ "$1" != --tag ]; do shift; done
    mkdir -p images
    (cd "$context" && find . -type f) > "images/$(echo "$2" | tr / _)" ;;
"rm --all") rm -rf containers ;;
"from scratch") mkdir -p containers/new; echo new ;;
"add --quiet" | "config --env" | "commit --quiet") ;;
"rm new") rmdir containers/new ;;
*) echo "unknown command: $*" >&2; exit 2 ;;
esac
"""


@dataclass(slots=True)
class LoadedCluster(ScriptedCluster):
    """Its engine runs programs."""

    engine: Engine = field(default_factory=Docker)


@pytest.fixture(params=[Docker, Buildah], ids=["docker", "buildah"])
def engine(request, fake_program):
    for name in ("docker", "buildah"):
        fake_program(name, ENGINE)
    return request.param()


def plain(tree):
    """A Dockerfile that needs no base image."""
    (tree / "Dockerfile").write_text("FROM scratch\n")
    return tree


def test_a_real_engine_builds_an_unchanged_tree_once(engine, tree, state):
    cluster = LoadedCluster(engine)

    reference = ensure(cluster, plain(tree))
    (state / "broken-build").write_text("it is built already")

    assert ensure(cluster, tree) == reference
    assert (state / "images" / reference.replace("/", "_")).read_text() == "./app/jobs.py\n"
    assert cluster.loaded == [reference]


def test_a_failed_build_shows_its_last_lines_and_leaves_nothing_behind(engine, tree, state, cache):
    cluster = LoadedCluster(engine)
    (state / "broken-build").write_text("COPY failed: no source files")

    with pytest.raises(CommandError, match="exit code 1: COPY failed: no source files"):
        ensure(cluster, plain(tree))

    assert cluster.loaded == []
    assert list((cache / "builds").iterdir()) == []


def test_what_an_interrupted_build_left_does_not_stop_the_next_one(fake_program, tree, state):
    fake_program("buildah", ENGINE)
    (state / "containers").mkdir()

    assert ensure(LoadedCluster(Buildah()), plain(tree))


def test_a_base_image_that_can_not_be_written_leaves_no_container(fake_program, tmp_path, state):
    fake_program("buildah", ENGINE)
    (state / "broken-commit").write_text("no space left on device")

    with pytest.raises(CommandError, match="no space left on device"):
        _commit(tmp_path, ["buildah"], run)

    assert list((state / "containers").iterdir()) == []


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


def test_the_images_of_the_stage_find_the_files_that_their_dockerfiles_copy():
    cluster = ScriptedCluster()

    _ensure_images(cluster)

    for recipe, files in zip(cluster.engine.built, cluster.engine.contexts, strict=True):
        if recipe.target is None:  # with a target, other stages of the Dockerfile copy other files
            assert set(COPY.findall(recipe.dockerfile.read_text())) <= files


def test_the_names_on_the_page_are_those_that_make_images_prints():
    given = GivenCluster(context="mine", registry="registry.example.com")
    prefixes = {cluster.image_prefix for cluster in (LocalCluster(), KindCluster(), given)}
    page = (ROOT / INSTALL).read_text()
    for prefix in prefixes:
        cluster = ScriptedCluster(image_prefix=prefix)
        printed = [ensure_controller_image(cluster), ensure_worker_image(cluster)]
        names = [reference.rpartition(":")[0] for reference in printed]
        assert ", ".join(f"`{name}:TAG`" for name in names) in page


@pytest.mark.parametrize("target", ["controller", "worker"])
def test_the_dockerfile_has_both_targets_and_neither_runs_as_root(target):
    _, _, stage = (ROOT / "Dockerfile").read_text().partition(f"FROM base AS {target}\n")

    assert "\nUSER 65532:65532\n" in stage.partition("\nFROM ")[0]
