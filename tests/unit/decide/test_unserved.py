"""Types that no pool handles: which are shown, and by which pools."""

from __future__ import annotations

from jobtide_controller.api.base import PoolRef
from jobtide_controller.decide.reading import Unserved
from jobtide_controller.decide.unserved import WAITED_SECONDS, first_of_each_namespace, unserved_types


def test_a_type_is_shown_when_its_jobs_have_waited_and_no_pool_handles_it_yet():
    found = {
        "few": Unserved(1, WAITED_SECONDS),
        "many": Unserved(12, WAITED_SECONDS + 1),
        "of another consumer": Unserved(900, WAITED_SECONDS - 1),
        "later": Unserved(900, 0.0),
        "new": Unserved(900, 900.0),
    }
    shown = unserved_types(found, lambda type_: type_ == "new")
    assert [(one.type, one.jobs) for one in shown] == [("many", 12), ("few", 1)]


def test_one_pool_of_each_namespace_shows_them():
    pools = [(PoolRef("b", "z"), "1"), (PoolRef("a", "y"), "2"), (PoolRef("a", "x"), "3"), (PoolRef("b", "a"), "4")]
    expected = {"3": PoolRef("a", "x"), "4": PoolRef("b", "a")}
    assert first_of_each_namespace(pools) == expected
    assert first_of_each_namespace(reversed(pools)) == expected
    assert first_of_each_namespace([]) == {}
