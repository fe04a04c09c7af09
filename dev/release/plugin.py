"""The kubectl plugin for krew: an archive for each platform, and the manifest that names them.

An archive has all that the plugin imports but Python itself, since users of kubectl need not know pip. One of its
packages is compiled, for each version of Python; the others are the same everywhere.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dev.images.published import HOME
from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.environment import Environment
from dev.machine.shell import Argument, run
from dev.release.archive import Entry, read_folder, write_tar_gz
from dev.release.tree import Tree

LAUNCHER = Path(__file__).parent / "kubectl_jobtide.py"
PROGRAM = "kubectl-jobtide"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The names that krew has for a platform, and the one that uv has.
PLATFORMS = {
    ("linux", "amd64"): "x86_64-unknown-linux-gnu",
    ("linux", "arm64"): "aarch64-unknown-linux-gnu",
    ("darwin", "amd64"): "x86_64-apple-darwin",
    ("darwin", "arm64"): "aarch64-apple-darwin",
}
PURE = ("annotated-types", "psycopg", "pydantic", "typing-extensions", "typing-inspection", "tzdata")
COMPILED = ("pydantic-core",)
# What installers write beside packages, with names of folders of this machine.
_INSTALLERS = re.compile(r"/(INSTALLER|REQUESTED|direct_url\.json|uv_cache\.json)$|^\.lock$|^bin/|/__pycache__/")
_DESCRIPTION = (
    "Explains from the status of a pool why it has as many workers as it has (why), shows waiting and running jobs per "
    "type and tenant (top), and opens the controller's page in the browser (page)."
)
_CAVEATS = f"Needs python3 of a version from {PYTHONS[0]} to {PYTHONS[-1]} on the PATH, and for why --job also libpq."


def package_plugin(tree: Tree, out: Path) -> None:
    """Writes an archive for each platform, and jobtide.krew.yaml."""
    digests = {}
    with scratch_directory(cache_directory() / "builds") as scratch:
        requirements = (tree.root / "requirements/controller.txt").read_text()
        everywhere = _wheel(out / f"jobtide-{tree.version}-py3-none-any.whl")
        everywhere |= _installed(scratch, requirements, PURE, PYTHONS[0], next(iter(PLATFORMS.values())))
        for platform, name in PLATFORMS.items():
            entries = {f"lib/{path}": entry for path, entry in everywhere.items()}
            for python in PYTHONS:
                compiled = _installed(scratch, requirements, COMPILED, python, name)
                entries |= {f"lib/python{python}/{path}": entry for path, entry in compiled.items()}
            entries[PROGRAM] = Entry(LAUNCHER.read_bytes(), executable=True)
            entries["LICENSE"] = Entry((tree.root / "LICENSE").read_bytes())
            archive = out / archive_name(platform, tree.version)
            write_tar_gz(archive, entries, tree.epoch)
            digests[platform] = hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest = krew_manifest(tree.version, digests)
    (out / "jobtide.krew.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=110))


def archive_name(platform: tuple[str, str], version: str) -> str:
    """The file of a platform."""
    return f"{PROGRAM}-{version}-{'-'.join(platform)}.tar.gz"


def krew_manifest(version: str, digests: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """`digests` are the SHA-256 of the archives."""
    platforms = [
        {
            "selector": {"matchLabels": {"os": system, "arch": machine}},
            "uri": f"{HOME}/releases/download/v{version}/{archive_name((system, machine), version)}",
            "sha256": digest,
            "bin": PROGRAM,
        }
        for (system, machine), digest in digests.items()
    ]
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "jobtide"},
        "spec": {
            "version": f"v{version}",
            "homepage": HOME,
            "shortDescription": "Show why job pools have their number of workers",
            "description": _DESCRIPTION,
            "caveats": _CAVEATS,
            "platforms": platforms,
        },
    }


def pinned(requirements: str, names: Sequence[str]) -> str:
    """The lines of these packages, with their hashes. Raises KeyError for one that is not pinned."""
    blocks = re.split(r"\n(?=\S)", requirements.strip())
    by_name = {re.split(r"[=\[ ;]", block, maxsplit=1)[0]: block for block in blocks}
    return "".join(f"{by_name[name]}\n" for name in names)


def _installed(scratch: Path, requirements: str, names: Sequence[str], python: str, platform: str) -> dict[str, Entry]:
    """The files of these packages, as uv unpacks their wheels for a platform that may not be this one."""
    listed, target = scratch / "requirements.txt", scratch / "-".join((*names, python, platform))
    listed.write_text(pinned(requirements, names))
    place: list[Argument] = ["--target", target, "--python-platform", platform, "--python-version", python]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
    run([Environment().uv, "pip", "install", *place, *options, "--requirements", listed])
    return _without_traces(read_folder(target))


def _wheel(wheel: Path) -> dict[str, Entry]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: Entry(packed.read(name)) for name in packed.namelist()}


def _without_traces(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """RECORD would list the removed files; no code reads it here."""
    return {
        name: Entry(entry.content)
        for name, entry in entries.items()
        if not _INSTALLERS.search(name) and not name.endswith("/RECORD")
    }
