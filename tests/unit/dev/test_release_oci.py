from __future__ import annotations

import gzip
import hashlib
import io
import json
import py_compile
import re
import struct
import tarfile

import pytest

from dev.machine.errors import DevError
from dev.release.oci import Image, Layers, write_oci_archive
from dev.release.oci_read import read_image

EPOCH = 1_700_000_000
IMAGE = Image("ghcr.io/jobtide/worker:1.2.3", EPOCH, {"org.opencontainers.image.version": "1.2.3"})


def tar_of(*members):
    """Each member is a TarInfo, or a name with its content and time."""
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content, time = member
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), time
            tar.addfile(info, io.BytesIO(content))
    return result.getvalue()


def link(name, target, kind, time):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, target, time
    return info


OWN = "RUN echo jobtide:x:65532 >> /etc/passwd"


def saved(path, *layers, created="2023-01-01T00:00:00.5Z", step="COPY file:" + "a" * 64 + " in /", steps=(OWN,)):
    """What `docker save` and buildah write. The last of the layers are those of `steps`, the first ones the base's."""
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "container": "c0ffee",
        "config": {"Env": ["A=1"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
        "history": [
            {"created": created, "created_by": step, "comment": "FROM elsewhere", "empty_layer": True},
            *({"created": created, "created_by": one} for one in steps),
        ],
    }
    names = [f"layer-{number}.tar" for number, _ in enumerate(layers)]
    manifest = [{"Config": "config.json", "RepoTags": ["localhost/x:1"], "Layers": names}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(configuration).encode()}
    files |= dict(zip(names, layers, strict=True))
    path.write_bytes(tar_of(*((name, content, 0) for name, content in files.items())))
    return path


def written(tmp_path, *layers, **changes):
    out = tmp_path / "image.oci.tar"
    write_oci_archive(saved(tmp_path / "saved.tar", *layers, **changes), out, IMAGE, Layers(EPOCH))
    return out


def members_of(archive):
    """The members of the layers, by name."""
    with tarfile.open(archive) as tar:
        blobs = [tar.extractfile(member).read() for member in tar if member.name.startswith("blobs/")]
    layers = [gzip.decompress(blob) for blob in blobs if blob.startswith(b"\x1f\x8b")]
    found = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            found |= {member.name: (member, member.isreg() and tar.extractfile(member).read()) for member in tar}
    return found


def test_two_builds_at_different_times_are_one_archive(tmp_path):
    first = written(tmp_path, tar_of(("app/a", b"1", EPOCH + 10.5))).read_bytes()
    second = written(
        tmp_path,
        tar_of(("app/a", b"1", EPOCH - 99)),
        created="2024-06-06T00:00:00Z",
        step="COPY file:" + "b" * 64 + " in /",
    ).read_bytes()

    assert first == second


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(tar_of(("app/a", b"2", EPOCH + 10)), id="content"),
        pytest.param(tar_of(("app/b", b"1", EPOCH + 10)), id="name"),
    ],
)
def test_what_differs_in_content_differs_in_digest(tmp_path, other):
    first = read_image(written(tmp_path, tar_of(("app/a", b"1", EPOCH + 10))), re.compile("x")).digest

    assert read_image(written(tmp_path, other), re.compile("x")).digest != first


@pytest.mark.parametrize(
    ("above", "earlier"), [pytest.param([], EPOCH, id="own"), pytest.param([tar_of()], 12, id="base")]
)
def test_files_have_the_commits_time_those_of_the_base_no_later_one_and_links_stay(tmp_path, above, earlier):
    late = EPOCH + 7
    layer = tar_of(
        ("app/file", b"x", late),
        ("app/old", b"y", 12),
        ("app/.wh.removed", b"", late),
        link("app/hard", "app/file", tarfile.LNKTYPE, late),
        link("app/soft", "file", tarfile.SYMTYPE, late),
        link("app/folder", "", tarfile.DIRTYPE, late),
    )

    found = members_of(written(tmp_path, layer, *above))

    assert {name: member.mtime for name, (member, _) in found.items()} == {
        "app/file": EPOCH, "app/old": earlier, "app/.wh.removed": EPOCH, "app/hard": EPOCH, "app/soft": EPOCH,
        "app/folder": EPOCH,
    }  # fmt: skip
    assert (found["app/hard"][0].linkname, found["app/hard"][0].islnk()) == ("app/file", True)
    assert (found["app/soft"][0].linkname, found["app/soft"][0].issym()) == ("file", True)
    assert found["app/folder"][0].isdir()


def test_a_layer_of_the_base_without_later_files_keeps_its_digest(tmp_path):
    base, own = tar_of(("etc/passwd", b"root", EPOCH - 9)), tar_of(("app/a", b"1", EPOCH - 9))

    digests = read_image(written(tmp_path, base, own), re.compile("x")).config["rootfs"]["diff_ids"]

    assert digests[0] == "sha256:" + hashlib.sha256(base).hexdigest()
    assert digests[1] != "sha256:" + hashlib.sha256(own).hexdigest()


def test_an_image_of_another_dockerfile_is_an_error(tmp_path):
    with pytest.raises(DevError, match="history has no step"):
        written(tmp_path, tar_of(("app/a", b"1", 5)), steps=("COPY x y",))


def test_a_layer_that_was_saved_compressed_is_the_same(tmp_path):
    layer = tar_of(("app/a", b"1", 5))

    assert written(tmp_path, gzip.compress(layer)).read_bytes() == written(tmp_path, layer).read_bytes()


@pytest.mark.parametrize(
    ("mode", "is_changed"),
    [
        pytest.param(py_compile.PycInvalidationMode.TIMESTAMP, True, id="by-time"),
        pytest.param(py_compile.PycInvalidationMode.UNCHECKED_HASH, False, id="by-digest"),
    ],
)
def test_python_still_believes_its_compiled_files(tmp_path, mode, is_changed):
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    compiled = (tmp_path / py_compile.compile(str(source), invalidation_mode=mode)).read_bytes()
    late = int(source.stat().st_mtime)

    found = members_of(written(tmp_path, tar_of(("module.py", b"x = 1\n", late), ("module.pyc", compiled, late))))

    member, _ = found["module.py"]
    _, content = found["module.pyc"]
    assert (content != compiled) is is_changed
    assert content[16:] == compiled[16:]
    if is_changed:
        assert struct.unpack_from("<I", content, 8)[0] == member.mtime


def test_the_image_says_what_it_is_and_nothing_of_its_build(tmp_path):
    image = read_image(written(tmp_path, tar_of(("app/a", b"1", EPOCH + 1))), re.compile("app/a"))

    assert image.files == {"app/a": b"1"}
    assert image.environment == {"A": "1"}
    assert image.config["config"]["Labels"] == {"org.opencontainers.image.version": "1.2.3"}
    assert image.config["config"]["User"] == "65532:65532"
    assert image.config["created"] == "2023-11-14T22:13:20Z"
    assert image.config["history"] == [
        {"created": "2023-11-14T22:13:20Z", "created_by": "COPY file in /", "empty_layer": True},
        {"created": "2023-11-14T22:13:20Z", "created_by": OWN},
    ]
    assert "container" not in image.config


def test_a_file_of_a_later_layer_replaces_that_of_an_earlier_one(tmp_path):
    layers = tar_of(("var/status", b"base", 1)), tar_of(("var/status", b"more", 2))

    assert read_image(written(tmp_path, *layers), re.compile("var/.*")).files == {"var/status": b"more"}


def test_a_cluster_that_loads_the_archive_finds_the_name(tmp_path):
    with tarfile.open(written(tmp_path, tar_of(("app/a", b"1", 1)))) as tar:
        (top,) = json.load(tar.extractfile("index.json"))["manifests"]

    assert top["annotations"] == {
        "io.containerd.image.name": "ghcr.io/jobtide/worker:1.2.3",
        "org.opencontainers.image.ref.name": "1.2.3",
    }
