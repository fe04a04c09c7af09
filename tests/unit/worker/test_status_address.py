"""Where a worker's status server listens."""

from __future__ import annotations

import pytest

from jobtide.errors import SettingsError
from jobtide.telemetry.status_server import listen


def test_with_an_address_it_listens_there_alone():
    with listen(0, "127.0.0.1") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_an_address_of_another_machine_is_a_wrong_setting():
    with pytest.raises(SettingsError, match=r"JOBTIDE_HTTP_PORT=8080 on JOBTIDE_HTTP_HOST=192\.0\.2\.1: can't listen"):
        listen(8080, "192.0.2.1")
