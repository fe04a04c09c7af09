"""Which links the teardown of the local cluster removes."""

from __future__ import annotations

import json

from dev.cluster.local.network import remove_pod_links
from dev.machine.shell import CommandError

ROUTES = [
    {"dst": "default", "dev": "veth-uplink"},
    {"dst": "10.244.0.2", "dev": "veth1"},
    {"dst": "192.168.7.0/24", "dev": "veth2"},
    {"dst": "10.244.0.0/16", "dev": "jobtide0"},
    {"dst": "10.244.1.9", "dev": "veth3"},
]


def test_links_of_dead_pods_are_removed_and_no_others():
    deleted = []

    def runner(arguments):
        if arguments[1] == "-4":
            return json.dumps([route for route in ROUTES if route["dev"] not in deleted])
        deleted.append(arguments[-1])
        return ""

    assert not remove_pod_links(runner)
    assert sorted(deleted) == ["veth1", "veth3"]
    assert remove_pod_links(runner)


def test_a_link_that_the_kernel_removed_first_is_no_error():
    def runner(arguments):
        if arguments[1] == "-4":
            return json.dumps(ROUTES)
        raise CommandError("Cannot find device")

    assert not remove_pod_links(runner)
