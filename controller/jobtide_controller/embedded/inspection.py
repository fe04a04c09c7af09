"""What an application has: its job types and files, or where its error is.

The application is imported in a process of its own, `python -m jobtide_controller.embedded.inspection APP`: so the
controller holds none of its memory, and each look imports it as it is now.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtide.errors import LoadError

IMPORT_SECONDS = 60.0
_EXCLUDED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Application:
    """The types that have a handler, and the application's own files: those below the working directory."""

    types: tuple[str, ...]
    files: frozenset[Path]


class BrokenError(LoadError):
    """The application can't be used; the message names file and line where it can. `files` as in Application."""

    def __init__(self, message: str, files: frozenset[Path] = frozenset()) -> None:
        super().__init__(message)
        self.files = files


async def inspect(app: str, environment: Mapping[str, str], directory: Path) -> Application:
    """Imports the application in a process of its own. Raises BrokenError."""
    with tempfile.TemporaryFile() as printed:  # a pipe would last as long as what the import started
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, app),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=printed,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(IMPORT_SECONDS):
                answer, _ = await child.communicate()
        except TimeoutError:
            raise BrokenError(f"the import of {app} has not ended after {IMPORT_SECONDS:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        printed.seek(0)
        last = (printed.read().decode(errors="replace").strip() or "nothing was printed").splitlines()[-1]
    try:
        found = json.loads(answer)
    except ValueError:
        raise BrokenError(f"the import of {app} ended its process with code {child.returncode}: {last}") from None
    files = frozenset(map(Path, found["files"]))
    if "error" in found:
        raise BrokenError(found["error"], files)
    return Application(tuple(found["types"]), files)


def _look(app: str) -> dict[str, Any]:
    """What the child answers. Anything may be raised by an import."""
    from jobtide.commands.loading import load_tide
    from jobtide.programs.handler import parse_setting

    try:
        programs = parse_setting(os.environ["JOBTIDE_EXEC"]) if os.environ.get("JOBTIDE_EXEC") else ()
        types = [*load_tide(app).handlers, *(program.type for program in programs)]
        return {"types": types, "files": sorted(_own_files())}
    except LoadError as error:
        return {"error": str(error), "files": sorted(_own_files())}
    except BaseException as error:  # noqa: BLE001 - also SystemExit
        places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            places.append((error.filename, error.lineno or 0))
        own = [(path, line) for path, line in places if _is_own(path)]
        where = f"{os.path.relpath(own[-1][0])}:{own[-1][1]}: " if own else ""
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        files = {*_own_files(), *(os.path.realpath(path) for path, _ in own)}
        return {"error": f"{where}{type(error).__name__}: {words}", "files": sorted(files)}


def _own_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and _is_own(path):
            yield os.path.realpath(path)


def _is_own(path: str) -> bool:
    """Below the working directory, and no installed package."""
    below = Path(os.path.realpath(path))
    return below.is_relative_to(Path.cwd()) and not _EXCLUDED & set(below.parts) and below.exists()


def _main() -> None:
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the application prints is no answer
    json.dump(_look(sys.argv.pop(1)), answer)
    answer.flush()
    os._exit(0)  # the application may have started threads


if __name__ == "__main__":
    _main()
