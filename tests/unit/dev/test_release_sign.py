"""Signing. cosign is a script here that records its arguments: only the shape of the calls is tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dev.machine.environment import ROOT
from dev.machine.errors import DevError
from dev.machine.shell import CommandError
from dev.release.digests import CHECKSUMS, PROVENANCE, write_digests
from dev.release.sign import sign
from dev.release.tree import Tree

# Writes its arguments, and the content of the predicate.
COSIGN = """
fails "$1"
echo "$*" >> calls
while [ $# -gt 0 ]; do
  if [ "$1" = --predicate ]; then cat "$2" > predicate; fi
  shift
done
"""


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "1.2.0"
    folder.mkdir()
    (folder / "wheel").write_text("1")
    write_digests(Tree(ROOT, "c0ffee", 0), folder)
    return folder


def calls(state):
    return (state / "calls").read_text().splitlines()


def test_without_a_key_nothing_is_signed_and_a_line_says_why(out, fake_program, state, capsys):
    fake_program("cosign", COSIGN)

    assert not sign(out, {})

    assert (
        capsys.readouterr().err
        == "Not signed: neither COSIGN_KEY=FILE nor COSIGN_KEYLESS=1 (the identity of a CI) is set\n"
    )
    assert not (state / "calls").exists()


@pytest.mark.parametrize("environ", [{"COSIGN_KEY": "k"}, {"COSIGN_KEYLESS": "1"}], ids=["key", "keyless"])
def test_a_key_without_cosign_is_an_error(out, environ, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(DevError, match="`cosign` was not found on the PATH"):
        sign(out, environ)


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        pytest.param(
            {"COSIGN_KEY": "/keys/cosign.key", "COSIGN_PASSWORD": ""}, "--yes --key /keys/cosign.key", id="key"
        ),
        pytest.param({"COSIGN_KEY": "awskms:///alias/a"}, "--yes --key awskms:///alias/a", id="kms"),
        pytest.param({"COSIGN_KEYLESS": "1"}, "--yes", id="keyless"),
    ],
)
def test_the_checksums_are_signed_and_every_file_is_attested(out, environ, options, fake_program, state):
    fake_program("cosign", COSIGN)

    assert sign(out, environ)

    signed, attested = calls(state)
    assert signed == f"sign-blob {options} --bundle {out / CHECKSUMS}.sigstore.json {out / CHECKSUMS}"
    assert attested.startswith(f"attest-blob {options} --type slsaprovenance1 --predicate ")
    assert attested.endswith(f" --bundle {out / 'wheel'}.sigstore.json {out / 'wheel'}")
    statement = json.loads((out / PROVENANCE).read_text())
    assert json.loads((state / "predicate").read_text()) == statement["predicate"]


def test_a_key_without_its_password_is_an_error(out, fake_program):
    fake_program("cosign", COSIGN)

    with pytest.raises(DevError, match=r"COSIGN_KEY=cosign\.key needs COSIGN_PASSWORD"):
        sign(out, {"COSIGN_KEY": "cosign.key"})


def test_a_refusal_of_cosign_is_an_error(out, fake_program, state):
    fake_program("cosign", COSIGN)
    (state / "broken-attest-blob").write_text("no identity token")

    with pytest.raises(CommandError, match="no identity token"):
        sign(out, {"COSIGN_KEYLESS": "1"})


def command(out, **environ):
    """With no installed package, as in a job that installs none."""
    program = [sys.executable, "-S", "-m", "dev.release.sign", out]
    given = {name: value for name, value in os.environ.items() if not name.startswith("COSIGN_")} | environ
    return subprocess.run(program, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def test_a_release_that_was_made_elsewhere_is_signed_by_a_command(out, fake_program, state):
    fake_program("cosign", COSIGN)

    done = command(out, COSIGN_KEYLESS="1")

    assert done.returncode == 0, done.stderr
    assert len(calls(state)) == 2


def test_the_command_fails_where_it_signed_nothing(out, tmp_path):
    unsigned = command(out)
    assert (unsigned.returncode, unsigned.stderr[:10]) == (1, "Not signed")

    missing = command(tmp_path, COSIGN_KEYLESS="1")
    assert missing.returncode == 1
    assert "has no SHA256SUMS" in missing.stderr
