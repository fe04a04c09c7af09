"""What can go wrong on a developer's machine, said in one sentence each."""

from __future__ import annotations


class DevError(Exception):
    """One sentence for the person at the keyboard: what was tried, with which value, what to do next."""
