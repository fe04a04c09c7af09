"""The node's address and the ranges of pods and services, on links that stay on this machine."""

from __future__ import annotations

import ipaddress
import json

from dev.cluster.components import POD_RANGE, SERVICE_RANGE
from dev.cluster.local.layout import BRIDGE, NODE_ADDRESS, POD_NETWORK, Layout
from dev.machine.errors import DevError
from dev.machine.shell import Runner, run, succeeds

NFT_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
CNI_PLUGINS = "/usr/lib/cni"
OUR_RANGES = (POD_RANGE, SERVICE_RANGE, f"{NODE_ADDRESS}/32")


def ensure_network(layout: Layout, runner: Runner = run) -> None:
    """Makes a bridge with the node's address, because not every kernel has the link type `dummy`.

    The routes of pods and services lead to it: without kube-proxy's rule such a packet must not reach the real network.
    """
    require_free_ranges(runner)
    if not succeeds(runner, ["ip", "link", "show", BRIDGE]):
        runner(["ip", "link", "add", BRIDGE, "type", "bridge"])
    runner(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", BRIDGE])
    runner(["ip", "link", "set", BRIDGE, "up"])
    for destination in (POD_RANGE, SERVICE_RANGE):
        runner(["ip", "route", "replace", destination, "dev", BRIDGE, "src", NODE_ADDRESS])
    write_pod_network(layout)


def require_free_ranges(runner: Runner = run) -> None:
    """Raises DevError if another network uses our ranges: our routes would cut it off."""
    ours = [ipaddress.IPv4Network(text) for text in OUR_RANGES]
    for route in json.loads(runner(["ip", "-4", "-json", "route", "show"])):
        if route["dst"] == "default" or route.get("dev") == BRIDGE or _is_pod_link(route):
            continue
        if taken := [text for text in ours if text.overlaps(ipaddress.IPv4Network(route["dst"]))]:
            raise DevError(
                f"the local cluster needs {taken[0]}, and this machine routes {route['dst']} to "
                f"{route.get('dev', 'another network')}: name another cluster with CONTEXT=..."
            )


def write_pod_network(layout: Layout) -> None:
    """Configures one veth pair and one host route for each pod (CNI's `ptp`).

    On a shared bridge the answer of a Service would go directly from pod to pod and skip the address translation,
    unless the kernel filters bridges. A route for each pod needs no such setting.
    """
    directory = layout.configuration / "cni"
    directory.mkdir(parents=True, exist_ok=True)
    ipam = {
        "type": "host-local",
        "dataDir": str(layout.cni_state),
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    network = {
        "cniVersion": "0.4.0",
        "name": POD_NETWORK,
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (directory / "10-jobtide.conflist").write_text(json.dumps(network, indent=2))


def remove_network(runner: Runner = run) -> None:
    """Removes connections, rules and the link of the local cluster; what does not exist is skipped."""
    for flow in (f"--orig-{side}={text}" for side in ("src", "dst") for text in OUR_RANGES):
        succeeds(runner, ["conntrack", "--delete", flow])  # fails if there is none
    for family, table in NFT_TABLES:
        if succeeds(runner, ["nft", "list", "table", family, table]):
            runner(["nft", "delete", "table", family, table])
    if succeeds(runner, ["ip", "link", "show", BRIDGE]):
        runner(["ip", "link", "delete", BRIDGE])


def remove_pod_links(runner: Runner = run) -> bool:
    """Removes the links of pods, which are all dead; True if there was none.

    The kernel removes a link a moment after the pod's namespace, which another process of this machine may keep.
    """
    pods = ipaddress.IPv4Network(POD_RANGE)
    routes = json.loads(runner(["ip", "-4", "-json", "route", "show"]))
    links = {
        route["dev"]
        for route in routes
        if _is_pod_link(route) and route["dst"] != "default" and ipaddress.IPv4Network(route["dst"]).subnet_of(pods)
    }
    for link in links:
        succeeds(runner, ["ip", "link", "delete", link])  # fails if the kernel was faster
    return not links


def _is_pod_link(route: dict[str, str]) -> bool:
    return route.get("dev", "").startswith("veth")
