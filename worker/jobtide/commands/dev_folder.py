"""Where `jobtide dev` keeps its files, and the URL of the database that it started."""

from __future__ import annotations

from pathlib import Path

FOLDER = ".jobtide"
"""In the working directory of `jobtide dev`."""

URL_FILE = "database-url"
"""In FOLDER: the URL of its own PostgreSQL, with the password. The file stays between runs."""


def url_file(directory: Path) -> Path:
    """The file for this working directory, which may not exist."""
    return directory / FOLDER / URL_FILE
