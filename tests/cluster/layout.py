"""Where one checkout's cluster lives: directories, names, ports and address ranges, all from its path and slot.

Two checkouts on one machine get different slots (slots.py), so nothing here is shared but the caches.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

SLOTS = 250
PORTS_PER_SLOT = 20
FIRST_PORT = 24000  # the last one is 28,999: below the kernel's ephemeral ports
REAL_NODE, SPARE_NODE = "real-0", "real-1"
CHECKOUT = Path(__file__).resolve().parents[2]
SECOND = CHECKOUT / "second"
"""Stands for the checkout's second cluster, in everything that is named after a checkout; no such folder is made."""

_PORT_NAMES = ("kube-apiserver", "etcd", "etcd-peer", "kube-controller-manager", "kube-scheduler", "kwok-controller")


def state_home() -> Path:
    """All clusters' state, outside every checkout."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "batch-operator"


def cache_home() -> Path:
    """Binaries and images that outlive `down`, shared by all checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batch-operator"


def checkout_id(checkout: Path) -> str:
    """The directory's name for people and a hash of the whole path for uniqueness, at most 27 characters."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in checkout.name.lower()).strip("-")[:20]
    return f"{name or 'x'}-{_digest(checkout)[:6]}"


def preferred_slot(checkout: Path) -> int:
    """1..SLOTS, the same for the same path."""
    return int(_digest(checkout)[6:14], 16) % SLOTS + 1


def _digest(checkout: Path) -> str:
    return hashlib.sha256(str(checkout).encode()).hexdigest()


@dataclass(frozen=True)
class Layout:
    """One checkout's names; `slot` (1..SLOTS) sets ports and address ranges."""

    checkout: Path
    slot: int

    @property
    def id(self) -> str:
        return checkout_id(self.checkout)

    @property
    def state(self) -> Path:
        return state_home() / self.id

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def data(self) -> Path:
        """What pods can mount; results lie here, so `down` leaves it."""
        return self.state / "data"

    def make_data_directory(self) -> None:
        """Pods write into it as a user of their own; other users of this machine do not get that far."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        self.data.chmod(0o777)

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def node_kubeconfig(self) -> Path:
        """The same cluster by the address that the node's network namespace sees."""
        return self.state / "kubeconfig-node"

    @property
    def kwok_home(self) -> Path:
        return self.state / "kwok"

    @property
    def control_plane(self) -> Path:
        """kwokctl's working directory: pki, pids and logs of the control plane."""
        return self.kwok_home / "clusters" / self.id

    @property
    def interface(self) -> str:
        """The host's end of the cable to the node; at most 15 characters."""
        return f"bo-{_digest(self.checkout)[:8]}"

    @property
    def host_address(self) -> str:
        return f"10.87.{self.slot}.1"

    @property
    def node_address(self) -> str:
        return f"10.87.{self.slot}.2"

    @property
    def link_range(self) -> str:
        return f"10.87.{self.slot}.0/30"

    @property
    def pod_range(self) -> str:
        return f"10.88.{self.slot}.0/24"

    @property
    def service_range(self) -> str:
        return f"10.96.{self.slot}.0/24"

    @property
    def kubernetes_service(self) -> str:
        return f"10.96.{self.slot}.1"

    @property
    def ranges(self) -> tuple[str, str, str]:
        return self.link_range, self.pod_range, self.service_range

    @property
    def ports(self) -> dict[str, int]:
        """Component -> port on the host; the node's own ports lie in its network namespace."""
        first = FIRST_PORT + (self.slot - 1) * PORTS_PER_SLOT
        return {name: first + i for i, name in enumerate(_PORT_NAMES)}


@dataclass(frozen=True)
class NodeLayout:
    """One real node's names. Number 0 is in every cluster; number 1 is the one that tests may break (spare_node.py).

    They share a network namespace, so that pods of both meet on one bridge; all else is a node's own.
    """

    cluster: Layout
    number: int = 0

    @property
    def name(self) -> str:
        return (REAL_NODE, SPARE_NODE)[self.number]

    @property
    def state(self) -> Path:
        """Root directories of containerd and the kubelet; gone after `down`."""
        return self.cluster.state / self.own("node")

    @property
    def cgroup(self) -> str:
        return self.own(f"batch-operator-{self.cluster.id}")

    @property
    def kubelet_port(self) -> int:
        return 10250 + 10 * self.number

    @property
    def kubelet_health_port(self) -> int:
        return 10248 + 10 * self.number

    @property
    def pod_addresses(self) -> tuple[str, str]:
        """First and last; the bridge has .1."""
        first, last = ((2, 199), (200, 254))[self.number]
        return f"10.88.{self.cluster.slot}.{first}", f"10.88.{self.cluster.slot}.{last}"

    def own(self, name: str) -> str:
        """`name` of a process, a file or a cgroup, made this node's own."""
        return f"{name}-{self.number}" if self.number else name

    def log(self, process: str) -> Path:
        return self.cluster.logs / f"{self.own(process)}.log"
