"""A certificate authority of our own, made with openssl: the API server's certificate and the signing key."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.shell import Runner, run
from dev.system import ensure_packages

VALID_DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files and the one token with which every component and the administrator speak to the API server."""

    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.directory / "apiserver.crt"

    @property
    def key(self) -> Path:
        return self.directory / "apiserver.key"

    @property
    def signing_key(self) -> Path:
        return self.directory / "service-accounts.key"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens.csv"

    @property
    def token(self) -> str:
        return self.tokens.read_text().partition(",")[0]


def ensure_credentials(directory: Path, *, names: Sequence[str], runner: Runner = run) -> Credentials:
    """`names` are openssl's alternative names (IP:127.0.0.1, DNS:kubernetes); made once per folder."""
    credentials = Credentials(directory)
    if credentials.tokens.exists():
        return credentials
    ensure_packages({"openssl": "openssl"}, runner)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = directory / "ca.key"
    new_key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", VALID_DAYS]
    runner([*new_key, "-subj", "/CN=jobtide-dev-ca", "-keyout", authority_key, "-out", credentials.authority])
    issued_by: list[str | Path] = ["-CA", credentials.authority, "-CAkey", authority_key]
    named = ["-subj", "/CN=kube-apiserver", "-addext", f"subjectAltName={','.join(names)}"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
    runner([*new_key, *issued_by, *named, *leaf, "-keyout", credentials.key, "-out", credentials.certificate])
    runner(["openssl", "genrsa", "-out", credentials.signing_key, "2048"])
    # Written last: its presence says that all the others are whole.
    unfinished = directory / "tokens.unfinished"
    unfinished.write_text(f"{secrets.token_hex(24)},admin,admin,system:masters\n")
    unfinished.rename(credentials.tokens)
    return credentials
