"""Configuration files of the real node's programs; pure, so that they can be read and tested without one."""

from collections.abc import Mapping
from typing import Any

from tests.cluster.layout import REAL_NODE, Layout, NodeLayout

SANDBOX_IMAGE = "localhost/batch-operator/pause:1"
SOCKET = "/run/containerd/containerd.sock"
SPARE_TAINT = "batch-operator.dev/spare"
SPARE: Mapping[str, Any] = {
    "registerWithTaints": [{"key": SPARE_TAINT, "value": "true", "effect": "NoSchedule"}],
    # With these the kubelet asks logind (logind.py) to be told before the machine goes down.
    "shutdownGracePeriod": "20s",
    "shutdownGracePeriodCriticalPods": "1s",
}
"""What the kubelet of the node that tests may break has besides."""
KUBELET_DIRECTORY = "/var/lib/kubelet"
PROXY_HEALTH_PORT = 10256


def containerd(place: NodeLayout, snapshotter: str) -> str:
    """config.toml, version 2: read by containerd 1.6 (Debian 12) and later."""
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox fails with "can't get final child's PID from
    # pipe". netns_mounts_under_state_dir: nothing outside the sandbox's own /run.
    return f"""version = 2
root = "{place.state}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{place.state}/cni"
"""


def kubelet(place: NodeLayout) -> dict[str, Any]:
    """A KubeletConfiguration; the kubelet's own ports lie in the node's network namespace."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "port": place.kubelet_port,
        "healthzPort": place.kubelet_health_port,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(place.cluster.control_plane / "pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "podLogsDir": f"{place.state}/pod-logs",
        # There is no DNS server. A pod's own loopback refuses at once where a missing address would time out, and
        # an empty list would leave a warning event at every pod.
        "clusterDNS": ["127.0.0.1"],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{place.state}/resolv.conf",
        # A developer's full disk must not evict pods or collect the imported images.
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "memory.available": "50Mi",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        # How often it looks what pods have written, to evict those past their limit; the default is a minute.
        "volumeStatsAggPeriod": "5s",
        **(SPARE if place.number else {}),
    }


def kube_proxy(layout: Layout) -> dict[str, Any]:
    """A KubeProxyConfiguration in nftables mode, which needs the program `nft` and nothing of iptables."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(layout.node_kubeconfig)},
        "clusterCIDR": layout.pod_range,
        "hostnameOverride": REAL_NODE,
        "bindAddress": layout.node_address,
        "healthzBindAddress": f"0.0.0.0:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        # 0: leave the machine's conntrack sysctls alone
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        # A pod that calls a service whose pod is on the same bridge would else get its answer past the translation.
        "nftables": {"masqueradeAll": True},
    }
