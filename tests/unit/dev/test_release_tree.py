"""The tree of a release, and the release before it, in repositories made for the test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dev.machine.checkout import VERSION_FILE
from dev.machine.errors import DevError
from dev.release.before import commit_before, release_before, tag_before
from dev.release.tree import copied


class Repository:
    """A git repository whose commits have the time 1,700,000,000 and later ones a second each."""

    def __init__(self, root):
        self.root = root
        self._seconds = 1_700_000_000
        root.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
        time = f"{self._seconds} +0000"
        environ = {"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": time, "GIT_AUTHOR_DATE": time, "HOME": "/nowhere"}
        command = ["git", "-C", self.root, *identity, *arguments]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def commit(self, version=None):
        if version is not None:
            self.write(VERSION_FILE, f'"""The version."""\n\n__version__ = "{version}"\n')
        self._seconds += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"Work on {version}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "checkout")


def test_a_tree_is_a_copy_of_the_tracked_files_with_the_time_of_the_commit(repository):
    repository.write(".gitignore", "*.log\n")
    commit = repository.commit("1.0.0")
    repository.write("noise.log", "ignored")

    with copied(repository.root) as tree:
        files = {str(path.relative_to(tree.root)) for path in tree.root.rglob("*") if path.is_file()}
        assert (tree.commit, tree.epoch, tree.version) == (commit, 1_700_000_001, "1.0.0")
    assert files == {".gitignore", VERSION_FILE}
    assert not tree.root.exists()


@pytest.mark.parametrize("change", ["edited", "new", "deleted"])
def test_what_is_not_committed_is_named(repository, change):
    repository.write("notes.txt", "1\n")
    repository.commit("1.0.0")
    match change:
        case "edited":
            repository.write("notes.txt", "2\n")
        case "new":
            repository.write("more.txt", "1\n")
        case "deleted":
            (repository.root / "notes.txt").unlink()

    with (
        pytest.raises(DevError, match=r"has changes that are not committed, such as `.*\.txt`"),
        copied(repository.root),
    ):
        pytest.fail("a release of a changed tree")


def test_a_folder_without_a_commit_is_named(tmp_path):
    with pytest.raises(DevError, match="is not a git checkout with a commit"), copied(tmp_path):
        pytest.fail("a release of no commit")


def test_without_a_tag_the_release_before_is_the_parent_of_the_commit_that_set_the_version(repository):
    repository.commit("0.1.0")
    before = repository.commit("0.1.0")
    repository.commit("0.2.0")
    repository.commit("0.2.0")

    assert commit_before(repository.root) == before


def test_the_newest_tag_of_another_version_is_the_release_before(repository):
    repository.commit("0.9.0")
    repository.git("tag", "v0.9.0")
    tagged = repository.commit("0.10.0")
    repository.git("tag", "v0.10.0")
    repository.commit("0.10.0")
    repository.commit("0.11.0")
    repository.git("tag", "v0.11.0")

    assert commit_before(repository.root) == tagged


def test_a_pre_release_is_never_the_release_before(repository):
    tagged = repository.commit("0.2.0")
    repository.git("tag", "v0.2.0")
    repository.commit("0.3.0rc1")
    repository.git("tag", "v0.3.0-rc1")
    assert commit_before(repository.root) == tagged

    repository.commit("0.3.0")
    assert commit_before(repository.root) == tagged


@pytest.mark.parametrize(
    ("version", "tags", "expected"),
    [
        pytest.param("0.3.0", ["v0.2.0", "v0.3.0-rc1", "v0.3.0rc2"], "v0.2.0", id="pre-releases of the version"),
        pytest.param("0.4.0", ["v0.2.0", "v0.3.0-rc1"], "v0.2.0", id="a pre-release that became none"),
        pytest.param("0.3.0rc2", ["v0.2.0", "v0.3.0-rc1"], "v0.2.0", id="a pre-release has a release before"),
        pytest.param("0.11.0", ["v0.9.0", "v0.10.0", "v0.10.0-rc1"], "v0.10.0", id="by numbers, not by letters"),
        pytest.param("0.2.1", ["v0.2.0", "v0.3.0", "v0.10.0"], "v0.2.0", id="never a later one"),
        pytest.param("0.2.0", ["v0.2.0"], None, id="never itself"),
        pytest.param("0.3.0", ["v0.3.0-rc1", "v0", "v0.2", "v0.2.0.1", "vnext"], None, id="no release at all"),
    ],
)
def test_the_release_before_is_the_highest_release_below_the_version(version, tags, expected):
    assert tag_before(version, tags) == expected
    assert tag_before(version, reversed(tags)) == expected


def test_a_commit_that_is_chosen_is_taken_for_the_release_before(repository):
    chosen = repository.commit("0.1.0")
    repository.commit("0.1.0")
    repository.commit("0.2.0")

    assert commit_before(repository.root, chosen[:9]) == chosen


def test_the_first_version_has_none_before(repository):
    repository.commit("0.1.0")

    with pytest.raises(DevError, match=r"0\.1\.0 is the first version in the history"):
        commit_before(repository.root)


def test_a_shallow_clone_says_what_to_do(repository, tmp_path):
    repository.commit("0.1.0")
    repository.commit("0.2.0")
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(clone))

    with pytest.raises(DevError, match=r"shallow clone.*git fetch --unshallow"):
        commit_before(clone)


def test_the_release_before_is_made_once_of_its_own_files(repository):
    before = repository.commit("0.1.0")
    repository.commit("0.2.0")
    made = []

    def make(tree, out):
        made.append((tree.commit, tree.version, tree.epoch))
        out.mkdir()
        (out / "wheel").touch()

    first, second = (release_before(repository.root, make) for _ in range(2))

    assert first == second
    assert (first / "wheel").exists()
    assert made == [(before, "0.1.0", 1_700_000_001)]


def test_a_release_that_could_not_be_made_is_not_kept(repository):
    repository.commit("0.1.0")
    repository.commit("0.2.0")

    def fail(tree, out):
        out.mkdir()
        raise DevError("no disk")

    with pytest.raises(DevError, match="no disk"):
        release_before(repository.root, fail)
    assert release_before(repository.root, lambda tree, out: out.mkdir()).exists()


def test_a_commit_that_does_not_exist_and_a_folder_of_another_project_are_named(repository, tmp_path):
    repository.commit("0.1.0")

    with pytest.raises(DevError, match="has no commit 'v9', which JOBTIDE_BEFORE names"):
        commit_before(repository.root, "v9")
    with pytest.raises(DevError, match=r"_version\.py has no line __version__ .* is .* a checkout of Jobtide\?"):
        commit_before(tmp_path)


@pytest.mark.parametrize("version", ["", "v1.0.0", " 1.0.0 ", "1.0.1"])
def test_a_version_that_the_files_do_not_have_is_named(repository, version):
    repository.commit("1.0.0")
    command = [sys.executable, "-m", "dev.release", "--source", repository.root, "--version", version]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: VERSION={version!r} is not the version of ")
    assert "make release VERSION=1.0.0, or set" in done.stderr
