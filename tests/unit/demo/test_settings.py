from __future__ import annotations

from pathlib import Path

import pytest

from dev.demo.settings import Settings, read_settings
from dev.machine.errors import DevError


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        pytest.param([], {}, Settings(3_000, 20, 0), id="defaults"),
        pytest.param([], {"JOBS": "400", "TENANTS": "5"}, Settings(400, 5, 0), id="make's variables"),
        pytest.param([], {"JOBS": "", "TENANTS": ""}, Settings(3_000, 20, 0), id="make passes what is unset as empty"),
        pytest.param(["--jobs", "60"], {"JOBS": "400"}, Settings(60, 20, 0), id="a flag wins"),
        pytest.param(["--chaos-postgres"], {}, Settings(3_000, 20, 30), id="half a minute of outage"),
        pytest.param(["--record", "run.json"], {}, Settings(record=Path("run.json")), id="a recording"),
        pytest.param(["--chaos-postgres", "5"], {}, Settings(3_000, 20, 5), id="an outage of its own length"),
    ],
)
def test_settings_come_from_flags_and_make(arguments: list[str], environ: dict[str, str], expected: Settings) -> None:
    assert read_settings(arguments, environ) == expected


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        pytest.param({"JOBS": "many"}, "JOBS='many': expected a whole number from 50", id="no number"),
        pytest.param({"JOBS": "3"}, "JOBS='3': expected a whole number from 50", id="too few"),
        pytest.param({"JOBS": "-400"}, "JOBS='-400'", id="negative"),
        pytest.param({"TENANTS": "0"}, "TENANTS='0': expected a whole number from 1", id="no tenant"),
    ],
)
def test_a_wrong_number_is_named_with_what_is_expected(environ: dict[str, str], message: str) -> None:
    with pytest.raises(DevError) as refused:
        read_settings([], environ)

    assert message in str(refused.value)
