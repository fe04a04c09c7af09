"""What the doctor says of the encryption of a real connection. PostgreSQL 15 alone: the wheel's 18 has no TLS."""

from __future__ import annotations

import shutil

import pytest
from psycopg.conninfo import make_conninfo

from dev.cluster.pki import Credentials, ensure_credentials
from dev.postgres.server import Server
from jobtide.doctor.database import Examination
from jobtide_controller.embedded.programs import account

ELSEWHERE = "127.0.0.2"  # not one of the names of this machine


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return ensure_credentials(tmp_path_factory.mktemp("pki") / "pki", names=(f"IP:{ELSEWHERE}",))


@pytest.fixture(scope="module")
def encrypting(credentials: Credentials):
    server = Server(version=15, host=ELSEWHERE, settings={"ssl": "on"})
    try:
        server.create()
        for source, name in ((credentials.certificate, "server.crt"), (credentials.key, "server.key")):
            shutil.copy(source, server.data / name)
            shutil.chown(server.data / name, account().pw_name)
            (server.data / name).chmod(0o600)
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.mark.parametrize(
    ("options", "check", "level", "words"),
    [
        ({"sslmode": "disable"}, "tls", "warning", "not encrypted"),
        ({"sslmode": "require"}, "tls", "note", "not verified"),
        ({"sslmode": "verify-full", "sslrootcert": "own"}, "tls", "ok", "the server is verified"),
        ({"sslmode": "verify-full", "sslrootcert": "other"}, "connection", "error", "sslrootcert=FILE"),
    ],
    ids=["plain", "encrypted", "verified", "another CA"],
)
def test_the_encryption_of_a_connection(options, check, level, words, encrypting, credentials):
    files = {"own": credentials.authority, "other": credentials.certificate}
    if name := options.get("sslrootcert"):
        options = options | {"sslrootcert": str(files[name])}
    url = make_conninfo(encrypting.dsn, **options)
    found = [one for one in Examination(url, "worker").findings() if one.check == check]
    assert [(one.level, words in one.text) for one in found] == [(level, True)], found
