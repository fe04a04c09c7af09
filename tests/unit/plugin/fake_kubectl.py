"""A program named kubectl that answers what the test needs."""

from __future__ import annotations

from pathlib import Path

# Writes its arguments to a file. Prints `names` for --output=name, `namespace` for `config view`, else `output`, then
# `message` on stderr.
PROGRAM = """\
#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> calls
case "$*" in
*--output=name*) cat names ;;
"config view "*) cat namespace ;;
*) cat output; cat message >&2; exit "$(cat code)" ;;
esac
"""


class FakeKubectl:
    """A program named kubectl in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "kubectl").write_text(PROGRAM)
        (folder / "kubectl").chmod(0o755)
        self.answers()

    def answers(self, output: str = "", *, message: str = "", names: str = "", namespace: str = "") -> None:
        """A message makes it fail."""
        files = {"output": output, "message": message, "names": names, "namespace": namespace}
        files["code"] = "1" if message else "0"
        for name, text in files.items():
            (self._folder / name).write_text(text)

    @property
    def calls(self) -> list[str]:
        return (self._folder / "calls").read_text().splitlines()
