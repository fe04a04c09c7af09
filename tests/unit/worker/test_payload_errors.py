"""What a failed job says of a payload that does not fit its handler: enough to mend it, and no more."""

from __future__ import annotations

import pytest

from jobtide.errors import Fail
from jobtide.payload import validator_for


def message(payload: object) -> str:
    def handler(payload: list[int]) -> None: ...

    validate = validator_for("t", handler)
    assert validate is not None
    with pytest.raises(Fail) as failed:
        validate(payload)
    return str(failed.value)


def test_a_few_errors_are_all_described():
    assert message([1, "a", "b"]).count("valid integer") == 2


def test_of_many_errors_the_first_are_described():
    text = message(["a"] * 100)
    assert text.count("valid integer") == 20
    assert text.endswith("and 80 more")


def test_of_a_hundred_thousand_errors_only_the_number_is_reported():
    assert message(["a"] * 100_000) == "payload is not valid: 100000 errors, too many to list"
