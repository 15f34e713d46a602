"""Settings that the real node cannot do without, each found by running into its absence."""

import ipaddress
import tomllib
from pathlib import Path

import pytest

from tests.cluster import cgroups, control_plane, network, node_files
from tests.cluster.layout import Layout, NodeLayout

LAYOUT = Layout(Path("/src/here"), 7)
NODE = NodeLayout(LAYOUT)
SPARE = NodeLayout(LAYOUT, 1)
V1 = "30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"
HYBRID = V1 + "\n31 24 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw"
V2 = "29 23 0:25 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw"


def test_containerd_s_configuration_is_toml_and_keeps_to_the_sandbox() -> None:
    config = tomllib.loads(node_files.containerd(NODE, "overlayfs"))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["netns_mounts_under_state_dir"] is True
    assert config["root"].startswith(str(NODE.state))


def test_the_kubelet_runs_on_cgroup_v1_and_below_a_cgroup_of_its_own() -> None:
    config = node_files.kubelet(NODE)
    assert config["failCgroupV1"] is False
    assert config["cgroupRoot"] == f"/{NODE.cgroup}"


def test_pods_get_addresses_of_the_slot_and_are_not_masqueraded() -> None:
    bridge = network.cni_configuration(NODE)["plugins"][0]  # type: ignore[index]
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [
        [{"subnet": "10.88.7.0/24", "rangeStart": "10.88.7.2", "rangeEnd": "10.88.7.199"}]
    ]


def test_two_nodes_share_nothing_but_the_network() -> None:
    places = (NODE, SPARE)
    for different in ("name", "state", "cgroup", "kubelet_port", "kubelet_health_port"):
        assert len({getattr(place, different) for place in places}) == 2, different
    (_, last), (first, _) = (place.pod_addresses for place in places)
    assert int(ipaddress.ip_address(last)) < int(ipaddress.ip_address(first))
    ports = [port for place in places for port in (place.kubelet_port, place.kubelet_health_port)]
    assert node_files.PROXY_HEALTH_PORT not in ports


def test_only_the_node_that_tests_break_keeps_others_away_and_listens_to_logind() -> None:
    configurations = [node_files.kubelet(place) for place in (NODE, SPARE)]
    assert ["shutdownGracePeriod" in c for c in configurations] == [False, True]
    assert ["registerWithTaints" in c for c in configurations] == [False, True]


@pytest.mark.parametrize(("with_node", "bind"), [(True, ["0.0.0.0"]), (False, [])], ids=["real node", "kwok only"])
def test_the_api_server_listens_beyond_loopback_only_for_a_real_node(with_node: bool, bind: list[str]) -> None:
    config = control_plane.configuration(LAYOUT, Path("/bin"), with_node)
    assert config["options"]["bindAddress"] == "127.0.0.1"
    patches = {patch["name"]: patch["extraArgs"] for patch in config["componentsPatches"]}
    assert [flag["value"] for flag in patches["kube-apiserver"] if flag["key"] == "bind-address"] == bind


@pytest.mark.parametrize(("text", "expected"), [(V1, False), (HYBRID, False), (V2, True)], ids=["v1", "hybrid", "v2"])
def test_cgroup_version(text: str, expected: bool) -> None:
    assert cgroups.is_v2(text) is expected


def test_cgroup_hierarchies_are_found_by_their_mount_points() -> None:
    assert cgroups.hierarchies(HYBRID) == [
        (Path("/sys/fs/cgroup/cpu"), "cgroup"),
        (Path("/sys/fs/cgroup/unified"), "cgroup2"),
    ]
