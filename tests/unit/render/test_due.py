"""How sure the number of due jobs is, in the words of a decision."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.required import Numbers
from jobtide_controller.render import sentence


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        pytest.param(Numbers(due=8_012), "8,012 due", id="all-were-counted"),
        pytest.param(Numbers(due=10_000, capped=1), "at least 10k due", id="counting-stopped"),
        pytest.param(Numbers(due=30_000, capped=1, uncounted=20_000), "about 30k due", id="the-rest-is-estimated"),
    ],
)
def test_a_number_that_was_not_counted_says_so(numbers, words):
    assert sentence.due(numbers) == words
    assert sentence.from_numbers(sentence.as_numbers(numbers)) == numbers
