"""A certificate authority, made with openssl: server certificates, client keys, one token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.machine.private import private_directory, write_private
from dev.machine.shell import Argument, Runner, run
from dev.machine.system import ensure_packages

VALID_DAYS = "3650"
SELF_SIGNED = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", VALID_DAYS)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The files, and the one token that every component and the administrator use with the API server."""

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
    def kubelet_client_certificate(self) -> Path:
        return self.directory / "kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        return self.directory / "kubelet-client.key"

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
    """Makes them once per folder. `names` are openssl's alternative names (IP:127.0.0.1, DNS:kubernetes)."""
    credentials = Credentials(directory)
    if credentials.tokens.exists():
        return credentials
    ensure_packages({"openssl": "openssl"}, runner)
    private_directory(directory)
    authority_key = directory / "ca.key"
    files: list[Argument] = ["-keyout", authority_key, "-out", credentials.authority]
    runner([*SELF_SIGNED, "-subj", "/CN=jobtide-dev-ca", *files])
    issued: list[Argument] = [*SELF_SIGNED, "-CA", credentials.authority, "-CAkey", authority_key]
    issued += ["-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", credentials.key, "-out", credentials.certificate]
    named = ["-addext", f"subjectAltName={','.join(names)}"]
    runner([*issued, "-subj", "/CN=kube-apiserver", *named, *files])
    files = ["-keyout", credentials.kubelet_client_key, "-out", credentials.kubelet_client_certificate]
    runner([*issued, "-subj", "/O=system:masters/CN=kube-apiserver", *files])
    runner(["openssl", "genrsa", "-out", credentials.signing_key, "2048"])
    # Written last: if it exists, all other files are complete.
    write_private(credentials.tokens, f"{secrets.token_hex(24)},admin,admin,system:masters\n")
    return credentials
