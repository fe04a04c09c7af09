"""`python3 -m dev.words [PATH...]`: refuses words that a reader would have to look up, in every tracked text file.

A word counts wherever no letter touches it, so names of tests and variables are read too. A phrase may run over the
end of a line. Generated lists of packages and files of other projects are left out, and so are this file and its test,
which name the words.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

# What is refused -> what to write instead.
WORDS = {
    "afresh": '"again" or "from scratch"',
    "anew": '"again" or "restart"',
    "anybody": 'who it is: "another client", or "anyone"',
    "as ever": '"as before"',
    "by now": '"already", or nothing',
    "everybody": 'who they are: "all tenants", "every worker"',
    "for ever": '"indefinitely", or until when',
    "gone away": '"closed" or "unreachable"',
    "he": '"it", or who it is',
    "heard": '"received" or "noticed"',
    "hence": '"so" or "from now"',
    "him": '"it", or who it is',
    "his": '"its", or whose it is',
    "in vain": '"without success"',
    "lest": '"so that ... not"',
    "meanwhile": '"while ..." or "in the meantime", or nothing',
    "nobody": 'who does not: "no worker", "no controller"',
    "said so": "what was reported, and by which part",
    "somebody": 'who it is: "a user", "another client"',
    "thereof": '"of it"',
    "to be had": '"available"',
    "told": '"notified", "reported" or "emitted"',
    "whereabouts": '"presence" or "place"',
    "whoever": 'who it is: "the client that ..."',
}

_NAMES = ("Makefile", "Dockerfile", ".ci/run")
_SUFFIXES = (".py", ".sql", ".md", ".yaml", ".toml", ".txt", ".tpl", ".sh", ".js", ".css", ".html")
_VENDORED = "controller/jobtide_controller/page/static/vendor"
_EXEMPT = ("requirements", _VENDORED, "dev/words.py", "tests/unit/repo/test_words.py")
# Between the words of a phrase: spaces, line breaks with the mark of a comment, or the underscores of a name.
_GAP = r"[\s#_-]+"
_ANY = "|".join(word.replace(" ", _GAP) for word in WORDS)
# now() is a function of SQL, and "nobody" in quotes the user of Unix.
_PATTERN = re.compile(rf"(?<![a-z])(?!by now\()(?!nobody\")(?:{_ANY})(?![a-z])", re.IGNORECASE)


def main(arguments: Sequence[str], root: Path = Path()) -> int:
    """The exit code: 1 if a tracked file under `arguments` (default: all of `root`) has such a word, else 0."""
    refused = [line for path in _tracked(root, arguments) for line in problems(path, (root / path).read_text("utf-8"))]
    for line in refused:
        print(line)
    return 1 if refused else 0


def problems(path: str, text: str) -> Iterator[str]:
    """Returns one line for each refused word: path, line number, and what to write instead."""
    for match in _PATTERN.finditer(text):
        word = re.sub(_GAP, " ", match[0]).lower()
        line = text.count("\n", 0, match.start()) + 1
        yield f'{path}:{line}: "{word}": write {WORDS[word]}'


def _tracked(root: Path, paths: Sequence[str]) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], cwd=root, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout
    return [path for path in listed.split("\0") if path.endswith((*_SUFFIXES, *_NAMES)) and not _is_exempt(path)]


def _is_exempt(path: str) -> bool:
    return path.startswith(_EXEMPT) or PurePosixPath(path).name.endswith("requirements.txt")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
