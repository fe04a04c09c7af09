"""The parts of the local cluster that can be tested without starting one."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile

import pytest

from dev.cluster.components import controller_manager_arguments
from dev.cluster.local import configuration, machine, network, teardown
from dev.cluster.local.layout import ENDPOINTS, PAUSE_IMAGE, Layout
from dev.cluster.local.pause import write_pause_image
from dev.cluster.pki import Credentials
from dev.machine.errors import DevError


@pytest.fixture
def layout(tmp_path):
    return Layout(state=tmp_path / "state", runtime=tmp_path / "run")


@pytest.fixture
def fake_root(tmp_path):
    root = tmp_path / "root"
    forward = root / "proc/sys/net/ipv4/ip_forward"
    forward.parent.mkdir(parents=True)
    forward.write_text("0\n")
    (root / "var/lib/kubelet").mkdir(parents=True)
    return root


def test_the_machine_is_restored_to_its_state_before_the_first_run(fake_root, tmp_path):
    record = tmp_path / "before.json"
    forward = fake_root / "proc/sys/net/ipv4/ip_forward"
    machine.remember(record, root=fake_root)
    forward.write_text("1\n")
    (fake_root / "run/containerd/s").mkdir(parents=True)
    (fake_root / "var/lib/kubelet/device-plugins").mkdir()
    machine.remember(record, root=fake_root)

    machine.restore(record, root=fake_root)

    assert forward.read_text().strip() == "0"
    assert not (fake_root / "run/containerd").exists()
    assert (fake_root / "var/lib/kubelet").exists(), "it existed before"


def test_without_a_record_nothing_is_changed(fake_root, tmp_path):
    machine.restore(tmp_path / "none.json", root=fake_root)

    assert (fake_root / "proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


@pytest.mark.parametrize(
    "destination",
    [
        pytest.param("10.0.0.0/8", id="wider"),
        pytest.param("10.244.7.0/24", id="part-of-the-pods"),
        pytest.param("10.96.0.10", id="a-single-service"),
    ],
)
def test_another_network_in_our_ranges_is_named_and_not_changed(destination, new_recorder):
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": destination, "dev": "vpn0"}]
    recorder = new_recorder(outputs={"ip -4 -json route show": json.dumps(routes)})

    with pytest.raises(DevError, match=rf"routes {destination} to vpn0: name another cluster with CONTEXT"):
        network.require_free_ranges(recorder)
    assert recorder.commands == ["ip -4 -json route show"]


def test_our_own_routes_and_those_of_pods_are_allowed(new_recorder):
    routes = [
        {"dst": "10.244.0.0/16", "dev": "jobtide0"},
        {"dst": "10.244.0.7", "dev": "veth1a2b3c"},
        {"dst": "192.168.1.0/24", "dev": "eth0"},
    ]

    network.require_free_ranges(new_recorder(outputs={"ip -4 -json route show": json.dumps(routes)}))


def test_the_network_is_made_on_a_bridge_and_both_ranges_end_there(layout, new_recorder):
    recorder = new_recorder(outputs={"ip -4 -json route show": "[]"}, failures={"ip link show": "does not exist"})

    network.ensure_network(layout, recorder)

    assert recorder.commands[2:] == [
        "ip link add jobtide0 type bridge",
        "ip address replace 10.245.0.1/32 dev jobtide0",
        "ip link set jobtide0 up",
        "ip route replace 10.244.0.0/16 dev jobtide0 src 10.245.0.1",
        "ip route replace 10.96.0.0/16 dev jobtide0 src 10.245.0.1",
    ]


def test_configuration_names_no_folder_outside_the_clusters_own(layout):
    configuration.write_configuration(layout)

    kubelet = json.loads((layout.configuration / "kubelet.json").read_text())
    places = [value for key, value in kubelet.items() if key.endswith("Dir")]
    assert places
    assert all(place.startswith(str(layout.state)) for place in places)
    containerd = (layout.configuration / "containerd.toml").read_text()
    assert "restrict_oom_score_adj = true" in containerd
    assert f'sandbox_image = "{PAUSE_IMAGE}"' in containerd


def test_the_controller_manager_keeps_its_folder_inside_ours(layout):
    arguments = controller_manager_arguments(ENDPOINTS, Credentials(layout.pki), layout.kubeconfig)

    assert f"--flex-volume-plugin-dir={layout.state}/volume-plugins" in arguments


def test_kernel_settings_of_connection_tracking_are_not_changed(layout):
    conntrack = configuration.proxy_configuration(layout)["conntrack"]

    assert conntrack == {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}


def test_the_pause_image_is_an_archive_that_describes_its_own_layer(tmp_path):
    program = tmp_path / "busybox"
    program.write_bytes(b"\x7fELF")
    write_pause_image(tmp_path / "pause.tar", PAUSE_IMAGE, program)

    with tarfile.open(tmp_path / "pause.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    (manifest,) = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == [PAUSE_IMAGE]
    digest = hashlib.sha256(files["layer.tar"]).hexdigest()
    assert json.loads(files["config.json"])["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    with tarfile.open(fileobj=io.BytesIO(files["layer.tar"])) as layer:
        assert layer.getmember("bin/busybox").mode & 0o111


def test_inner_mounts_are_unmounted_first(tmp_path):
    table = tmp_path / "mounts"
    table.write_text(
        "proc /proc proc rw 0 0\n"
        "tmpfs /var/lib/c/pods/1 tmpfs rw 0 0\n"
        "overlay /var/lib/c/pods/1/with\\040space overlay rw 0 0\n"
        "tmpfs /var/lib/cc tmpfs rw 0 0\n"
    )

    found = teardown.mounts_under(tmp_path.__class__("/var/lib/c"), table=table)

    assert [str(path) for path in found] == ["/var/lib/c/pods/1/with space", "/var/lib/c/pods/1"]


def test_only_sockets_without_a_listener_are_removed(tmp_path):
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as dead:
        living.bind(str(tmp_path / "living"))
        living.listen()
        dead.bind(str(tmp_path / "dead"))
        dead.close()

        teardown.remove_dead_sockets(tmp_path)

    assert (tmp_path / "living").exists()
    assert not (tmp_path / "dead").exists()
