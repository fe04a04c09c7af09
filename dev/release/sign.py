"""Signs a release with cosign, where cosign and a key, or the identity of a CI, are at hand.

`python3 -m dev.release.sign DIR` signs one that was made elsewhere: by a job that may not sign. It needs no package.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dev.machine.cache import scratch_directory
from dev.machine.errors import DevError, exit_code
from dev.machine.progress import say
from dev.machine.shell import Argument, Runner, run
from dev.release.digests import CHECKSUMS, PROVENANCE

KEY, KEYLESS, PASSWORD = "COSIGN_KEY", "COSIGN_KEYLESS", "COSIGN_PASSWORD"


def can_sign(environ: Mapping[str, str]) -> bool:
    """False where neither a key nor an identity is set. Raises DevError if one is, and does not suffice: a release that
    should be signed must not look finished without, and the builds take minutes."""
    key = environ.get(KEY, "")
    if not key and environ.get(KEYLESS) != "1":
        return False
    if shutil.which("cosign") is None:
        raise DevError(f"{KEY} or {KEYLESS} is set, and `cosign` was not found on the PATH: install it, or unset them")
    if key and "://" not in key and PASSWORD not in environ:
        raise DevError(f"{KEY}={key} needs {PASSWORD}: cosign can't ask for it here; it may be empty")
    return True


def sign(out: Path, environ: Mapping[str, str], runner: Runner = run) -> bool:
    """False, with a line that says why, where nothing is signed."""
    if not can_sign(environ):
        say(f"Not signed: neither {KEY}=FILE nor {KEYLESS}=1 (the identity of a CI) is set")
        return False
    with scratch_directory(out.parent) as scratch:
        predicate = scratch / "predicate.json"
        predicate.write_text(json.dumps(json.loads((out / PROVENANCE).read_text())["predicate"]))
        for command in commands(out, predicate, environ.get(KEY)):
            runner(command)
    return True


def commands(out: Path, predicate: Path, key: str | None) -> Iterator[list[Argument]]:
    """One signature over the digests of all files, and one attestation for each file."""
    options: list[Argument] = ["--yes", *(("--key", key) if key else ())]
    yield ["cosign", "sign-blob", *options, "--bundle", out / f"{CHECKSUMS}.sigstore.json", out / CHECKSUMS]
    for line in (out / CHECKSUMS).read_text().splitlines():
        name = line.split("  ", 1)[1]
        if name != PROVENANCE:
            attestation: list[Argument] = ["--type", "slsaprovenance1", "--predicate", predicate]
            bundle = out / f"{name}.sigstore.json"
            yield ["cosign", "attest-blob", *options, *attestation, "--bundle", bundle, out / name]


def main() -> int:
    """The exit code: 1 also where nothing was signed, for that was all there was to do."""
    parser = argparse.ArgumentParser(prog="python3 -m dev.release.sign", description="Signs a release that was made.")
    parser.add_argument("out", type=Path, metavar="DIR", help="the folder of the release, with its SHA256SUMS")
    out: Path = parser.parse_args().out

    def run_() -> bool:
        if not (out / CHECKSUMS).is_file():
            raise DevError(f"{out} has no {CHECKSUMS}: name the folder that `make release` has printed")
        return sign(out, os.environ)

    return exit_code(run_, interrupted="run the same command again")


if __name__ == "__main__":
    sys.exit(main())
