"""The cable between the host and the real node's network namespace, and the routes over it.

The namespace has no default route, and a call to a service that kube-proxy does not know ends at an unreachable
route: nothing that a pod sends leaves this machine. All of it is gone with the namespace.
"""

import subprocess

from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout, NodeLayout

_INSIDE = "eth0"
BRIDGE = "cni0"


def connect(layout: Layout, sandbox_pid: int, inside: list[str]) -> None:
    """`inside` is the argv prefix that runs a program in the sandbox."""
    _ip([], [f"link add {layout.interface} type veth peer name {_INSIDE} netns {sandbox_pid}"])
    _ip(
        [],
        [
            f"addr add {layout.host_address}/30 dev {layout.interface}",
            f"link set {layout.interface} up",
            f"route add {layout.pod_range} via {layout.node_address} dev {layout.interface} onlink",
            # the API server calls webhooks and proxies to services from the host: kube-proxy translates inside
            f"route add {layout.service_range} via {layout.node_address} dev {layout.interface} onlink",
        ],
    )
    gateway = layout.pod_range.replace(".0/24", ".1/24")
    _ip(
        inside,
        [
            f"addr add {layout.node_address}/30 dev {_INSIDE}",
            f"link set {_INSIDE} up",
            f"link add {BRIDGE} type bridge",
            f"addr add {gateway} dev {BRIDGE}",
            f"link set {BRIDGE} up",
            f"route add unreachable {layout.service_range}",
        ],
    )


def disconnect(layout: Layout) -> None:
    """Removes the host's end; it normally is gone with the sandbox, and its routes with it."""
    if present(layout):
        subprocess.run(["ip", "link", "delete", layout.interface], capture_output=True, check=False)


def present(layout: Layout) -> bool:
    try:
        argv = ["ip", "link", "show", layout.interface]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def cni_configuration(place: NodeLayout) -> dict[str, object]:
    """A bridge whose addresses are handed out by host-local; no masquerading, since nothing goes out."""
    first, last = place.pod_addresses
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni-addresses",
            "ranges": [[{"subnet": place.cluster.pod_range, "rangeStart": first, "rangeEnd": last}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": "batch-operator", "plugins": [bridge]}


def _ip(inside: list[str], commands: list[str]) -> None:
    result = subprocess.run(
        [*inside, "ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ClusterError(f"`ip` failed ({result.stderr.strip()}) at one of: {'; '.join(commands)}")
