"""The page's own files: read at the start, and again when they change, which they do for a developer only."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
_TEXTS = frozenset({"text/javascript", "text/css", "text/html", "image/svg+xml", "application/json", "text/plain"})


@dataclass(frozen=True, slots=True)
class _File:
    changed_ns: int
    body: bytes
    etag: str


class StaticFiles:
    """Answers with files below the folder, by names that were listed there: no path of a request is opened."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}

    def answer(self, request: web.Request, name: str) -> web.Response:
        """The file of this name, or 304 if the browser has it. Raises HTTPNotFound."""
        path = self._listed().get(name)
        if path is None:
            raise web.HTTPNotFound
        file = self._current(name, path)
        headers = {"Cache-Control": "no-cache", "ETag": f'"{file.etag}"'}
        if file.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        charset = "utf-8" if kind in _TEXTS else None
        return web.Response(body=file.body, content_type=kind, charset=charset, headers=headers)

    def _listed(self) -> dict[str, Path]:
        return {path.relative_to(self._folder).as_posix(): path for path in self._folder.rglob("*") if path.is_file()}

    def _current(self, name: str, path: Path) -> _File:
        changed_ns = path.stat().st_mtime_ns
        file = self._files.get(name)
        if file is None or file.changed_ns != changed_ns:
            body = path.read_bytes()
            file = self._files[name] = _File(changed_ns, body, hashlib.sha256(body).hexdigest()[:32])
        return file
