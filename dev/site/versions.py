"""The versions of the site side by side: build/site/<version>, and versions.json, which the switcher reads."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dev.machine.checkout import copy_files, version_of
from dev.machine.errors import DevError
from dev.site.build import build
from dev.site.tree import copy_tag, require, tags

_BASE = re.compile(r"(https?://[^\s/?#]+)?(/[^\s?#]*)?")
_OPENS = (
    '<!doctype html><meta charset="utf-8"><title>Jobtide</title><meta http-equiv="refresh" content="0; url={0}/">\n'
)


class Version(NamedTuple):
    """A version, and its tag; without one it is the checkout."""

    name: str
    tag: str | None

    @property
    def label(self) -> str:
        return self.name if self.tag else f"{self.name} (in work)"


def build_site(root: Path, output: Path, *, releases: Sequence[str] = (), base: str = "/") -> None:
    """Writes the site of these tags and of the checkout. `base` is the path or URL that it will be served at."""
    if not _BASE.fullmatch(base):
        raise DevError(f"URL={base!r} is no address of a site: write https://docs.example.com/ or a path, /docs/")
    versions = list(_versions(root, releases))
    preferred = preferred_of(versions)
    shutil.rmtree(output, ignore_errors=True)
    for version in versions:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder).resolve()
            copy_tag(root, version.tag, tree) if version.tag else copy_files(root, tree)
            build(tree, output / version.name, version.name)
    entries = [
        {"version": name, "name": version.label if len(versions) > 1 else name, "url": f"{base.rstrip('/')}/{name}/"}
        | ({"preferred": True} if version == preferred else {})
        for version in reversed(versions)
        for name in [version.name]
    ]
    (output / "versions.json").write_text(json.dumps(entries, indent=2) + "\n")
    (output / "index.html").write_text(_OPENS.format(preferred.name))


def preferred_of(versions: Sequence[Version]) -> Version:
    """The newest release; where there is none the newest pre-release, such as v1.0.0-rc1, or else the checkout."""
    tagged = [version for version in versions if version.tag]
    return ([version for version in tagged if "-" not in version.name] or tagged or list(versions))[-1]


def _versions(root: Path, releases: Sequence[str]) -> Iterator[Version]:
    """The oldest first."""
    require(root, releases)
    for tag in tags(root):
        if tag in releases:
            yield Version(tag.removeprefix("v"), tag)
    own = version_of(root)
    if f"v{own}" not in releases:
        yield Version(own, None)
