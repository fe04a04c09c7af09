"""Removes the local cluster: processes first, then their mounts, links, routes and files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path

from dev.cluster.local import machine, network
from dev.cluster.local.layout import Layout
from dev.machine.daemons import Daemons, open_process
from dev.machine.progress import step
from dev.machine.shell import run
from dev.machine.wait import wait_until

CGROUPS = Path("/sys/fs/cgroup")
POD_CGROUP = "kubepods"
SHIM_SOCKETS = Path("/run/containerd/s")


def remove_everything(layout: Layout, daemons: Daemons) -> None:
    """Removes the cluster. Each part removes what it finds, so the next run completes an interrupted one."""
    if not layout.state.exists() and not layout.runtime.exists() and not daemons.running():
        return
    with step("Taking the local cluster down", usual="3 to 60 s, by the number of images"):
        daemons.kill("kubelet")  # it would restart what is killed next
        daemons.kill()
        kill_containers()
        unmount_under(layout.state, layout.runtime)
        wait_until("the end of the pods' links", network.remove_pod_links, within_seconds=30)
        network.remove_network()
        remove_cgroups()
        remove_dead_sockets()
        remove_container_log_links(layout)
        machine.restore(layout.machine_before)
        shutil.rmtree(layout.runtime, ignore_errors=True)
        # Last, because it holds the record of the machine's settings.
        wait_until(f"the removal of {layout.state}", lambda: _removed(layout.state), within_seconds=30)


def kill_containers() -> None:
    """Kills the processes of pods, which have no mark: they are in cgroups that only our kubelet makes."""

    def none_left() -> bool:
        living = {pid for cgroup in pod_cgroups() for pid in _members(cgroup)}
        for pid in living:
            with open_process(pid) as descriptor:
                if descriptor is not None and _in_pod_cgroup(pid):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return not living

    wait_until("the end of the pods' processes", none_left, within_seconds=30)


def pod_cgroups() -> list[Path]:
    """Returns the pods' cgroups, deepest first: one tree on cgroup v2, one for each controller on v1."""
    roots = [path for path in (*CGROUPS.glob(f"*/{POD_CGROUP}"), CGROUPS / POD_CGROUP) if path.is_dir()]
    found = [path for root in roots for path in (root, *root.rglob("*")) if path.is_dir()]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def remove_cgroups() -> None:
    """Removes the cgroups of pods; raises DevError if a process is left in one after 30 s."""

    def none_left() -> bool:
        for cgroup in pod_cgroups():
            with contextlib.suppress(OSError):  # busy until the kernel has reaped the last process
                cgroup.rmdir()
        return not pod_cgroups()

    wait_until(f"the removal of the cgroups {POD_CGROUP}", none_left, within_seconds=30)


def unmount_under(*directories: Path) -> None:
    """Unmounts lazily: a mount disappears at once, even if a process still has a file open in it."""
    for mount_point in mounts_under(*directories):
        run(["umount", "--lazy", mount_point])


def mounts_under(*directories: Path, table: Path = Path("/proc/self/mounts")) -> list[Path]:
    """Returns the mounts below, innermost first; a point that is mounted twice is listed twice."""
    points = [Path(_unescape(line.split()[1])) for line in table.read_text().splitlines()]
    ours = [point for point in points if any(point.is_relative_to(directory) for directory in directories)]
    return ours[::-1]


def remove_dead_sockets(directory: Path = SHIM_SOCKETS) -> None:
    """Removes sockets of killed shims from the folder that every containerd of this machine shares."""
    for path in directory.glob("*"):
        if path.is_socket() and not _answered(path):
            path.unlink(missing_ok=True)


def remove_container_log_links(layout: Layout, directory: Path = Path("/var/log/containers")) -> None:
    """Removes the kubelet's links to logs of our pods; those of another cluster stay."""
    for link in directory.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(layout.pod_logs):
            link.unlink(missing_ok=True)


def _members(cgroup: Path) -> list[int]:
    try:
        return [int(text) for text in (cgroup / "cgroup.procs").read_text().split()]
    except OSError:  # it has just been removed
        return []


def _in_pod_cgroup(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return f"/{POD_CGROUP}/" in Path(f"/proc/{pid}/cgroup").read_text()
    return False


def _answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
    return True


def _unescape(text: str) -> str:
    return text.encode().decode("unicode_escape")


def _removed(directory: Path) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()
