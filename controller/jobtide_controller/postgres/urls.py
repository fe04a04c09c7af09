"""Reads the databases' URLs from mounted Secrets, one folder per database. They can change at any time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobtide.database_errors import url_of_file

URL_FILE = "url"


class NotConfiguredError(LookupError):
    """There is no URL for a database of this name."""


class Urls(Protocol):
    """Where the URL of each database is."""

    def url(self, name: str) -> str:
        """The current URL. Raises NotConfiguredError, or DatabaseUrlWrong for text that is no URL."""
        ...


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """`<folder>/<name>/url`. Kubernetes swaps the `..data` link below a folder when the Secret changes."""

    folder: Path

    def names(self) -> list[str]:
        """Databases that have a URL now; none if the folder does not exist."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if (path / URL_FILE).is_file())

    def url(self, name: str) -> str:
        """The current URL. Raises NotConfiguredError, or DatabaseUrlWrong for text that is no URL."""
        path = self.folder / name / URL_FILE
        try:
            return url_of_file(path, f'the Secret of database "{name}" ({path})')
        except (FileNotFoundError, NotADirectoryError):
            raise NotConfiguredError(
                f"no database is called \"{name}\"; add it to `databases` in the chart's values; spec.database can't "
                "be changed, so to use another one delete the pool and create it again"
            ) from None
        except OSError as error:
            raise NotConfiguredError(f'the URL of database "{name}" can\'t be read from {path}: {error}') from None
