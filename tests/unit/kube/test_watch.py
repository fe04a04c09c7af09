from __future__ import annotations

import itertools

from jobtide_controller.kube.inventory.watch import operator_settings


def test_the_watch_never_gives_up_on_an_api_server_that_is_away():
    backoffs = operator_settings().networking.error_backoffs
    assert sum(itertools.islice(backoffs, 1000)) > 3600
    assert next(iter(backoffs)) == next(iter(backoffs)), "each request begins with the shortest pause"
