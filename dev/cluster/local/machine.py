"""Saves what Kubernetes changes on the host outside its own folders, and restores it afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

# Fixed in the sources of the kubelet, containerd, the CNI library and buildah; no flag changes them.
SHARED_DIRECTORIES = (
    "/var/lib/kubelet",  # device-plugins
    "/var/lib/cni",  # results
    "/var/log/containers",
    "/var/log/pods",
    "/run/containerd",  # the shims' sockets
    "/etc/cni",
    "/opt/containerd",
    "/run/containers",
    "/var/lib/containers",  # a cache of layer digests
    "/usr/libexec/kubernetes",
)
# The kubelet and the CNI plugins set these; no flag prevents it.
KERNEL_SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/netfilter/nf_conntrack_max",
    "net/ipv4/conf/all/route_localnet",
)


def remember(record: Path, *, root: Path = Path("/")) -> None:
    """Writes the record once, before the first change: a second run would record our own changes."""
    if record.exists():
        return
    settings = {name: _setting(root, name).read_text().strip() for name in _known_settings(root)}
    absent = [name for name in SHARED_DIRECTORIES if not (root / name[1:]).exists()]
    unfinished = record.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"settings": settings, "absent": absent}, indent=2))
    unfinished.rename(record)


def restore(record: Path, *, root: Path = Path("/")) -> None:
    """Restores settings that differ, and removes shared folders that did not exist before."""
    if not record.exists():
        return
    before = json.loads(record.read_text())
    for name, value in before["settings"].items():
        setting = _setting(root, name)
        if setting.read_text().strip() != value:
            setting.write_text(value)
    for name in before["absent"]:
        shutil.rmtree(root / name[1:], ignore_errors=True)


def _known_settings(root: Path) -> list[str]:
    return [name for name in KERNEL_SETTINGS if _setting(root, name).exists()]


def _setting(root: Path, name: str) -> Path:
    return root / "proc/sys" / name
