"""The digests of all files of a release, for people and as provenance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.images.published import HOME
from dev.release.tree import Tree

CHECKSUMS, PROVENANCE = "SHA256SUMS", "provenance.intoto.json"
# Who ran the build, as an address of a workflow; a CI sets it.
BUILDER = "RELEASE_BUILDER_ID"


def write_digests(tree: Tree, out: Path) -> None:
    """Writes the provenance of all files, then SHA256SUMS of all files, in the format of sha256sum."""
    builder = os.environ.get(BUILDER, f"{HOME}/blob/{tree.commit}/Makefile")
    statement = provenance(tree, digests_of(out), builder)
    (out / PROVENANCE).write_text(f"{json.dumps(statement, indent=1)}\n")
    lines = (f"{digest}  {name}\n" for name, digest in digests_of(out).items())
    (out / CHECKSUMS).write_text("".join(lines))


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, in the order of the names."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def provenance(tree: Tree, digests: Mapping[str, str], builder: str) -> dict[str, Any]:
    """An in-toto statement with SLSA provenance: which commit and which command made these files."""
    source = {"uri": f"git+{HOME}@{tree.commit}", "digest": {"gitCommit": tree.commit}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{HOME}/blob/main/docs/releases.md#make-a-release",
                "externalParameters": {"command": f"make release VERSION={tree.version}", "source": source["uri"]},
                "resolvedDependencies": [source],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }
