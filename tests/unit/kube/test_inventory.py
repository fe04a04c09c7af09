from __future__ import annotations

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.reading import Reading
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.loop.ports import GoneWorker, Presence
from jobtide_controller.loop.tombstones import KEPT, Tombstones
from jobtide_controller.telemetry.events import ObjectRejected
from tests.unit.kube.objects import Events, deployment, pod, pool, version

THUMBS = PoolRef("media", "thumbs")
NOTHING = Reading(0.0, {}, {})


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def inventory(events):
    return Inventory(events)


def entry_of(inventory, uid="uid-thumbs"):
    entry = inventory.pools.get(uid)
    assert entry is not None
    return entry


def test_a_pool_is_known_by_uid_name_and_type(inventory):
    inventory.upsert_pool(pool(types=["a", "b"]))
    assert inventory.pools.by_ref(THUMBS) is entry_of(inventory)
    assert sorted(inventory.pools.types("main")) == ["a", "b"]
    assert inventory.pools.of_type("main", "a") == {"uid-thumbs"}
    assert inventory.pools.databases() == {"main"}


def test_an_older_event_changes_nothing(inventory):
    inventory.upsert_pool(pool(version_=20, generation=2, types=["new"]))
    assert not inventory.upsert_pool(pool(version_=19, generation=1, types=["old"]))
    assert inventory.pools.types("main") == ["new"]


def test_a_pool_that_can_be_read_and_not_kept_is_refused_by_name(inventory):
    half_an_emoji = {"spec": {"containers": [{"name": "worker", "image": "\ud800"}]}}
    inventory.upsert_pool(pool(template=half_an_emoji))
    assert "can't be understood" in entry_of(inventory).refusal


def test_our_own_status_write_is_no_change(inventory):
    inventory.upsert_pool(pool())
    inventory.changes.take("main")
    assert not inventory.upsert_pool(pool(status={"pending": 5}))
    assert inventory.changes.take("main") == set()
    assert entry_of(inventory).status == {"pending": 5}


def test_an_edited_pool_is_a_change_and_loses_its_old_types(inventory):
    inventory.upsert_pool(pool(types=["a"]))
    inventory.changes.take("main")
    assert inventory.upsert_pool(pool(generation=2, types=["b"]))
    assert inventory.changes.take("main") == {"uid-thumbs"}
    assert inventory.pools.of_type("main", "a") == set()


def test_a_recreated_pool_of_the_same_name_is_another_pool(inventory):
    inventory.upsert_pool(pool(uid="old"))
    inventory.upsert_pool(pool(uid="new"))
    inventory.forget_pool(pool(uid="old"))
    assert inventory.pools.by_ref(THUMBS).uid == "new"


def test_a_pool_that_is_being_deleted_is_forgotten(inventory):
    inventory.upsert_pool(pool())
    deleted = pool()
    deleted["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    inventory.upsert_pool(deleted)
    assert inventory.pools.get("uid-thumbs") is None
    assert inventory.changes.take("main") == {"uid-thumbs"}


def test_an_invalid_pool_is_reported_once_and_stops_no_other(inventory, events):
    bad = pool(types=[])
    inventory.upsert_pool(bad)
    inventory.upsert_pool(bad)
    inventory.upsert_pool(pool("other"))
    assert [event.uid for event in events.of(ObjectRejected)] == ["uid-thumbs"]
    assert "types" in events.of(ObjectRejected)[0].message
    assert inventory.pools.get("uid-other") is not None


def test_a_change_of_a_pool_marks_the_pools_that_share_a_type_with_it(inventory):
    inventory.upsert_pool(pool("a", types=["x"]))
    inventory.pools.take_changed("main")
    inventory.upsert_pool(pool("b", types=["x", "y"]))
    assert inventory.pools.take_changed("main") == {"uid-a", "uid-b"}
    (overlap,) = inventory.pools.overlaps("uid-b")
    assert (overlap.type, overlap.pools) == ("x", ("media/a",))
    inventory.forget_pool(pool("b"))
    assert inventory.pools.take_changed("main") == {"uid-a", "uid-b"}
    assert inventory.pools.overlaps("uid-a") == ()


def test_a_pool_that_joins_hundreds_of_a_type_concerns_only_those_that_show_it(inventory):
    pools = inventory.pools
    for number in range(300):
        inventory.upsert_pool(pool(f"p{number:03}", types=["x", "y"]))
    pools.take_changed("main")
    inventory.upsert_pool(pool("z", types=["x"]))
    assert pools.take_changed("main") == {"uid-z"}, "the others name the first three and say that there are more"
    (overlap,) = pools.overlaps("uid-z")
    assert (overlap.pools, overlap.has_more) == (("media/p000", "media/p001", "media/p002"), True)
    assert pools.overlaps("uid-p001")[0].pools == ("media/p000", "media/p002", "media/p003")
    inventory.upsert_pool(pool("a", types=["x"]))
    assert len(pools.take_changed("main")) == 302
    inventory.forget_pool(pool("z"))
    assert pools.take_changed("main") == {"uid-z"}
    for number in range(299):
        inventory.forget_pool(pool(f"p{number:03}"))
    (overlap,) = pools.overlaps("uid-a")
    assert (overlap.pools, overlap.has_more) == (("media/p299",), False)


def test_an_object_that_can_not_be_understood_is_kept_by_name(inventory, events):
    broken = pool()
    broken["spec"]["template"] = {"spec": {"containers": [{"name": "worker", "image": "x", "env": [None]}]}}
    inventory.upsert_pool(broken)
    entry = inventory.pools.get("uid-thumbs")
    assert (entry.types, entry.database) == ((), "main")
    assert entry.refusal == "template.spec.containers[0].env[0] is null: write an object"
    assert [event.message for event in events.of(ObjectRejected)] == [entry.refusal]


def test_pools_of_two_databases_may_share_a_type(inventory):
    inventory.upsert_pool(pool("a", types=["x"]))
    inventory.upsert_pool(pool("b", types=["x"], database="other"))
    assert inventory.pools.overlaps("uid-a") == ()


def test_the_fleet_is_the_deployment_and_its_pods(inventory):
    inventory.upsert_pool(pool())
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas is None
    inventory.upsert_deployment(deployment(replicas=3))
    inventory.upsert_pod(pod("one", ready_at="2026-11-24T12:00:04Z"))
    inventory.upsert_pod(pod("two"))
    fleet = inventory.fleet("uid-thumbs", {"uid-one"})
    assert (fleet.current_replicas, fleet.ready, fleet.busy, len(fleet.pods), fleet.start_seconds) == (3, 1, 1, 2, 4.0)


def scale(*, uid="uid-deployment", version_=None, **spec):
    return {"kind": "Scale", "metadata": {"uid": uid, "resourceVersion": str(version_ or version())}, "spec": spec}


def test_the_answer_to_a_new_number_is_in_the_fleet_and_wakes_the_pool(inventory):
    inventory.upsert_pool(pool())
    inventory.upsert_deployment(deployment(replicas=3))
    inventory.pools.take_changed("main")
    assert inventory.note_scale(scale(replicas=5))
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas == 5
    assert not inventory.rollout("uid-thumbs").complete, "its controller has not seen the number"
    assert inventory.pools.take_changed("main") == {"uid-thumbs"}
    assert inventory.note_scale(scale())
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas == 0


def test_the_answer_to_a_number_changes_nothing_that_is_newer_or_another_object(inventory):
    inventory.upsert_pool(pool())
    inventory.upsert_deployment(deployment(replicas=3, version_=12))
    assert not inventory.note_scale(scale(replicas=5, version_=11))
    assert not inventory.note_scale(scale(replicas=5, uid="the one before"))
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas == 3


def test_deployment_and_pods_of_other_owners_are_not_in_the_fleet(inventory):
    inventory.upsert_pool(pool())
    inventory.upsert_deployment(deployment(owner="another pool"))
    inventory.upsert_deployment(deployment(owner=""))
    inventory.upsert_pod(pod(of="other"))
    fleet = inventory.fleet("uid-thumbs", frozenset())
    assert (fleet.current_replicas, fleet.pods) == (None, ())


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"namespace": "elsewhere"}, id="in another namespace"),
        pytest.param({"name": "other-worker"}, id="of another name"),
        pytest.param({"namespace": "elsewhere", "name": "other-worker"}, id="of another name elsewhere"),
    ],
)
def test_deployment_that_only_names_a_pools_uid_is_not_its_own(inventory, metadata):
    """A user may write any UID into the ownerReferences of an own object, and keep it with a finalizer."""
    inventory.upsert_pool(pool())
    foreign = deployment(uid="foreign", replicas=9)
    foreign["metadata"] |= {"finalizers": ["example.com/stays"], **metadata}
    inventory.changes.take("main")
    inventory.upsert_deployment(foreign)
    assert inventory.changes.take("main") == set()
    assert inventory.deployment("uid-thumbs") is None
    inventory.upsert_deployment(deployment(uid="own", replicas=2))
    inventory.upsert_deployment({**foreign, "metadata": {**foreign["metadata"], "resourceVersion": str(version())}})
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas == 2
    inventory.forget_deployment(foreign)
    assert inventory.fleet("uid-thumbs", frozenset()).current_replicas == 2


def test_owner_of_another_api_group_is_no_pool(inventory):
    inventory.upsert_pool(pool())
    foreign = deployment()
    foreign["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1"
    inventory.upsert_deployment(foreign)
    assert inventory.deployment("uid-thumbs") is None


def test_every_change_of_a_fleet_marks_its_pool(inventory):
    inventory.upsert_pool(pool())
    changes = inventory.changes
    changes.take("main")
    steps = [
        lambda: inventory.upsert_deployment(deployment()),
        lambda: inventory.upsert_pod(pod()),
        lambda: inventory.upsert_pod(pod(ready_at="2026-11-24T12:00:04Z")),
        lambda: inventory.forget_pod(pod()),
        lambda: inventory.forget_deployment(deployment()),
    ]
    for step in steps:
        step()
        assert changes.take("main") == {"uid-thumbs"}


def test_an_event_without_a_change_of_the_pod_marks_nothing(inventory):
    inventory.upsert_pool(pool())
    inventory.upsert_pod(pod())
    inventory.changes.take("main")
    inventory.upsert_pod(pod())
    assert inventory.changes.take("main") == set()


def test_a_late_event_does_not_bring_a_deleted_pod_back(inventory):
    inventory.upsert_pod(pod(version_=5))
    inventory.forget_pod(pod(version_=9))
    inventory.upsert_pod(pod(version_=7))
    assert inventory.pods.of(THUMBS) == ()


def test_the_start_time_is_the_median_of_the_last_starts(inventory):
    inventory.upsert_pool(pool())
    assert inventory.pods.start_seconds(THUMBS) == 10.0
    for number, seconds in enumerate((2, 4, 30)):
        inventory.upsert_pod(pod(f"p{number}", ready_at=f"2026-11-24T12:00:{seconds:02}Z"))
    assert inventory.pods.start_seconds(THUMBS) == 4.0
    inventory.upsert_pod(pod("p0", ready_at="2026-11-24T12:00:50Z"))
    assert inventory.pods.start_seconds(THUMBS) == 4.0, "a pod starts once; becoming ready again is no start"


def test_pods_that_outlive_their_pool_leave_nothing_behind(inventory):
    inventory.upsert_pod(pod(ready_at="2026-11-24T12:00:04Z"))
    inventory.forget_pod(pod())
    assert inventory.pods.start_seconds(THUMBS) == 10.0


class TestPresence:
    def test_a_pod_that_was_seen_is_alive_and_one_that_was_not_is_unknown(self, inventory):
        inventory.upsert_pod(pod("seen"))
        assert inventory.pods.presence_of("uid-seen") is Presence.ALIVE
        assert inventory.pods.presence_of("uid-never") is Presence.UNKNOWN

    def test_a_deleted_pod_is_gone_and_its_attempts_do_not_count(self, inventory):
        inventory.upsert_pod(pod())
        inventory.forget_pod(pod(metadata={"deletionTimestamp": "2026-11-24T12:10:00Z"}))
        assert inventory.pods.presence_of("uid-thumbs-worker-a") == GoneWorker(gives_back=True)

    def test_a_finished_pod_is_gone_though_its_object_stays(self, inventory):
        inventory.upsert_pod(pod(phase="Failed", reason="Evicted"))
        assert inventory.pods.presence_of("uid-thumbs-worker-a") == GoneWorker(gives_back=True)
        assert len(inventory.pods.of(THUMBS)) == 1

    def test_a_crash_remains_a_crash_when_the_pod_is_deleted(self, inventory):
        crashed = [{"name": "worker", "state": {"terminated": {"exitCode": 137, "finishedAt": "2026-11-24T12:05:00Z"}}}]
        inventory.upsert_pod(pod(phase="Failed", containerStatuses=crashed))
        inventory.forget_pod(pod(metadata={"deletionTimestamp": "2026-11-24T12:10:00Z"}))
        assert inventory.pods.presence_of("uid-thumbs-worker-a") == GoneWorker(gives_back=False)


class TestRelist:
    def test_objects_that_a_newer_list_lacks_are_dropped(self, inventory):
        inventory.upsert_pool(pool("a", version_=10))
        inventory.upsert_pool(pool("b", version_=11))
        assert inventory.forget_absent_pools({"uid-a"}, list_version=20) == 1
        assert inventory.pools.get("uid-a") is not None
        assert inventory.pools.get("uid-b") is None

    def test_objects_newer_than_the_list_stay(self, inventory):
        inventory.upsert_pool(pool("late", version_=21))
        inventory.upsert_deployment(deployment("late", version_=22))
        inventory.upsert_pod(pod("late-pod", version_=23))
        assert inventory.forget_absent_pools(set(), list_version=20) == 0
        assert inventory.forget_absent_deployments(set(), list_version=20) == 0
        assert inventory.forget_absent_pods(set(), list_version=20) == 0
        assert inventory.pools.get("uid-late") is not None
        assert inventory.deployment("uid-late") is not None
        assert inventory.pods.presence_of("uid-late-pod") is Presence.ALIVE

    def test_a_list_without_changes_repairs_nothing(self, inventory):
        for _ in range(2):
            news = [
                inventory.upsert_pool(pool(version_=10)),
                inventory.upsert_deployment(deployment(version_=11)),
                inventory.upsert_pod(pod(version_=12)),
            ]
        assert news == [False, False, False]

    @pytest.mark.parametrize("how", ["by an event", "by a list"])
    def test_objects_deleted_while_a_list_arrives_do_not_come_back_with_it(self, inventory, how):
        inventory.upsert_pool(pool(version_=10))
        inventory.upsert_deployment(deployment(version_=11))
        if how == "by an event":
            inventory.forget_pool(pool(version_=15))
            inventory.forget_deployment(deployment(version_=16))
        else:
            inventory.forget_absent_pools(set(), list_version=20)
            inventory.forget_absent_deployments(set(), list_version=20)
        assert not inventory.upsert_pool(pool(version_=10))
        assert not inventory.upsert_deployment(deployment(version_=11))
        assert len(inventory.pools) == 0
        assert inventory.deployment("uid-thumbs") is None

    def test_a_pod_whose_deletion_was_missed_is_gone_and_its_attempts_do_not_count(self, inventory):
        inventory.upsert_pool(pool())
        inventory.upsert_pod(pod(version_=12))
        inventory.changes.take("main")
        assert inventory.forget_absent_pods(set(), list_version=20) == 1
        assert inventory.pods.presence_of("uid-thumbs-worker-a") == GoneWorker(gives_back=True)
        assert inventory.changes.take("main") == {"uid-thumbs"}


class TestEntry:
    """Entries are kept as text; reading them gives the same values again."""

    def test_a_pool_is_kept_as_the_api_server_sent_it(self, inventory):
        raw = pool(
            types=["a", "bücher"],
            tenants={"maxConcurrent": 3, "overrides": {"11111111-2222-3333-4444-555555555555": 64}},
            paused=True,
            pausedUntil="2026-11-30T08:00:00+01:00",
            template={"spec": {"containers": [{"name": "worker", "image": "a:1", "x": [1, 2.5, None, True, "ü"]}]}},
        )
        inventory.upsert_pool(raw)
        assert entry_of(inventory).pool == JobWorkerPool.model_validate(raw)

    @pytest.mark.parametrize("status", [None, {}, {"pending": 5, "conditions": [{"type": "Ready", "message": "ü"}]}])
    def test_a_status_is_kept_as_it_was_written(self, inventory, status):
        inventory.upsert_pool(pool())
        entry_of(inventory).status = status
        assert entry_of(inventory).status == status


class TestTombstones:
    def test_the_oldest_are_forgotten_first(self):
        stones: Tombstones[None] = Tombstones()
        for number in range(KEPT + 1):
            stones.add(f"uid-{number}")
        assert "uid-0" not in stones
        assert "uid-1" in stones
        assert f"uid-{KEPT}" in stones

    def test_the_first_value_of_a_uid_stays(self):
        stones: Tombstones[str] = Tombstones()
        stones.add("uid", "first")
        stones.add("uid", "second")
        assert stones.get("uid") == "first"


async def test_waiting_ends_with_the_first_change(inventory):
    inventory.upsert_pool(pool())
    await inventory.changes.wait("main", 60)


async def test_waiting_ends_after_the_given_time(inventory):
    await inventory.changes.wait("main", 0.001)


async def test_a_change_of_another_database_marks_nothing_here(inventory):
    inventory.upsert_pool(pool(database="other"))
    assert inventory.changes.take("main") == set()
    assert inventory.changes.take("other") == {"uid-thumbs"}


def test_nothing_is_kept_of_a_deployment_that_was_replaced(inventory):
    for number in range(5):
        inventory.upsert_deployment(deployment(uid=f"d{number}"))
    assert inventory._owners == {"d4": THUMBS}
