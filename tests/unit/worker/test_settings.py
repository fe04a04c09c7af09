"""Settings are validated once, and an error names the variable, its value and what is expected."""

from __future__ import annotations

import pytest

from jobtide.commands.settings import VARIABLES, from_environment
from jobtide.errors import SettingsError

GOOD = {"JOBTIDE_DATABASE_URL": "postgresql://db/app", "JOBTIDE_APP": "acme.jobs:tide"}


def test_a_url_and_an_application_are_enough():
    settings = from_environment(GOOD)
    assert (settings.app, settings.database_url, settings.concurrency, settings.types) == (
        "acme.jobs:tide", "postgresql://db/app", 4, None,
    )  # fmt: skip


def test_the_argument_comes_before_the_environment():
    assert from_environment(GOOD, app="other:tide").app == "other:tide"


def test_types_are_a_json_array_without_repeats():
    assert from_environment({**GOOD, "JOBTIDE_TYPES": '["a,b", "c", "c"]'}).types == ("a,b", "c")


def test_a_process_that_is_no_pod_gets_a_uid_of_its_own():
    first, second = from_environment(GOOD), from_environment(GOOD)
    assert first.pod_uid.startswith("local-")
    assert first.pod_uid != second.pod_uid


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("JOBTIDE_CONCURRENCY", "0", "a whole number of at least 1"),
        ("JOBTIDE_CONCURRENCY", "four", "a whole number of at least 1"),
        ("JOBTIDE_PREFETCH", "-1", "a whole number of at least 0"),
        ("JOBTIDE_LEASE_SECONDS", "0.5", "a number from 1"),
        ("JOBTIDE_LEASE_SECONDS", "nan", "a number from 1"),
        ("JOBTIDE_DRAIN_SECONDS", "inf", "a number from 0"),
        ("JOBTIDE_RETRY_MAX_SECONDS", "1", "a number from 2"),
        ("JOBTIDE_TYPES", "a,b", "a JSON array of job types"),
        ("JOBTIDE_TYPES", "[]", "a JSON array of job types"),
        ("JOBTIDE_TYPES", "[1]", "a JSON array of job types"),
        ("JOBTIDE_HTTP_PORT", "65536", "a whole number of at least 0 and at most 65535"),
        ("JOBTIDE_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("JOBTIDE_POD_UID", "a:b", "no colon"),
        ("JOBTIDE_TENANT_MAX_CONCURRENT", "-1", "a whole number of at least 0"),
        ("JOBTIDE_TENANT_OVERRIDES", '{"acme": 3}', "a JSON object of tenant UUID"),
        ("JOBTIDE_TENANT_OVERRIDES", "[3]", "a JSON object of tenant UUID"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(name, value, reason):
    with pytest.raises(SettingsError, match=f"{name}=.*expected .*{reason}"):
        from_environment({**GOOD, name: value})


@pytest.mark.parametrize("missing", GOOD)
def test_what_is_missing_is_named(missing):
    with pytest.raises(SettingsError, match=missing):
        from_environment({name: value for name, value in GOOD.items() if name != missing})


def test_every_variable_has_a_meaning():
    assert all(meaning for _, meaning in VARIABLES.values())
