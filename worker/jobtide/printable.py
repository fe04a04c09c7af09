"""Text of users for a terminal or a log: nothing in it moves the cursor, changes colours or turns the direction.

Types, tenants' names and errors are values of other users. An escape sequence in one could hide lines from a reader,
or write others.
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """The text in one line: line breaks, control characters and direction marks are escaped, as in \\n or \\u202e."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """The same of each line, with tabs as spaces."""
    return "\n".join(map(printable, text.expandtabs(4).split("\n")))


def printable_json(text: str) -> str:
    """JSON in one line, as equal JSON."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
