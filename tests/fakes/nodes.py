"""`Nodes`: the nodes of the fake cluster, who has room on them, and what the control plane does when one is lost.

Stands in for the scheduler's choice, the node controller, the taint manager and the pod garbage collector, as far as
an operator can notice them. Used by pods.PodDriver and disruptions.
"""

from collections.abc import Mapping
from typing import Any

from tests.fakes.api_server import TERMINAL_PHASES, FakeAPIServer, path_of
from tests.fakes.resource_types import NODES, PODS, Address, Object

GPU = "nvidia.com/gpu"
UNREACHABLE_SECONDS = 40.0
"""Until a silent kubelet's node is called NotReady."""
TOLERATION_SECONDS = 300.0
QUARANTINE_SECONDS = 40.0
"""PodGC's, for pods whose node is not there."""


class Nodes:
    """Node objects on the server. `dead`: those whose kubelet does nothing any more, whatever the objects say."""

    def __init__(self, server: FakeAPIServer, gpus: Mapping[str, int]) -> None:
        self._server = server
        self._clock = server.clock
        self._gpus: dict[str, int] = {}
        self.dead: set[str] = set()
        self._cordoned: set[str] = set()
        for name, count in gpus.items():
            self.add(name, count)

    def add(self, name: str, gpus: int) -> None:
        self._gpus[name] = gpus
        self._server.create("/api/v1/nodes", {"metadata": {"name": name}, "spec": {}}, actor="kubelet")
        allocatable = {GPU: str(gpus), "cpu": "64", "memory": "256Gi", "pods": "110"}
        self._server.patch(f"/api/v1/nodes/{name}/status", {"status": {"allocatable": allocatable}}, actor="kubelet")
        self._ready(name, "True")

    def room_for(self, pod: Object) -> str:
        """The first node that can take it; "" for none."""
        wanted = _gpus(pod)
        for name, gpus in self._gpus.items():
            if name in self.dead or name in self._cordoned or not self._exists(name):
                continue
            if wanted == 0 or wanted <= gpus - sum(_gpus(other) for other in self.pods_on(name)):
                return name
        return ""

    def why_not(self) -> str:
        count = len(self._gpus)
        return f"0/{count} nodes are available: {count} Insufficient {GPU}."

    def pods_on(self, name: str) -> list[Object]:
        """Those that have not ended."""
        return [pod for pod in self._pods() if pod["spec"].get("nodeName") == name and not _has_ended(pod)]

    # -- what happens to them

    def cordon(self, name: str) -> None:
        self._cordoned.add(name)

    def delete(self, name: str) -> None:
        """The machine is gone, and somebody (a cloud's controller) deletes its object; PodGC ends its pods."""
        self.dead.add(name)
        self._server.delete(path_of(Address(NODES, "", name)), actor="cloud")
        self._clock.call_after(QUARANTINE_SECONDS, lambda: self._collect(name, terminating_only=False))

    def lose(self, name: str) -> None:
        """The machine stops answering: NotReady, and its pods are asked to go, of which it hears nothing."""
        self.dead.add(name)
        self._clock.call_after(UNREACHABLE_SECONDS, lambda: self._ready(name, "Unknown"))
        self._clock.call_after(UNREACHABLE_SECONDS + TOLERATION_SECONDS, lambda: self._evict_all(name))

    def put_out_of_service(self, name: str) -> None:
        """Somebody knows that the lost machine is off: its terminating pods are ended by force."""
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        if self._exists(name):
            self._server.patch(path_of(Address(NODES, "", name)), {"spec": {"taints": [taint]}}, actor="admin")
            self._evict_all(name)
            self._clock.call_after(QUARANTINE_SECONDS, lambda: self._collect(name, terminating_only=True))

    def collect_ended_pods(self) -> None:
        """PodGC, past its threshold of terminated pods."""
        for pod in self._pods():
            if _has_ended(pod):
                self._delete(pod, 0, "pod-garbage-collector")

    # -- inside

    def _ready(self, name: str, status: str) -> None:
        if self._exists(name):
            ready = {"type": "Ready", "status": status, "lastTransitionTime": self._clock.timestamp()}
            self._server.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}}, actor="node")

    def _evict_all(self, name: str) -> None:
        for pod in self.pods_on(name):
            if "deletionTimestamp" not in pod["metadata"]:
                disrupt(self._server, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
                self._delete(pod, None, "taint-manager")

    def _collect(self, name: str, *, terminating_only: bool) -> None:
        for pod in self.pods_on(name):
            if terminating_only and "deletionTimestamp" not in pod["metadata"]:
                continue
            disrupt(self._server, pod, "DeletionByPodGC", "PodGC: node no longer exists", phase="Failed")
            self._delete(pod, 0, "pod-garbage-collector")

    def _delete(self, pod: Object, grace_seconds: int | None, actor: str) -> None:
        uid = pod["metadata"]["uid"]
        self._server.delete(_path(pod), uid=uid, grace_seconds=grace_seconds, actor=actor)

    def _exists(self, name: str) -> bool:
        return any(node["metadata"]["name"] == name for node in self._server.list_page("/api/v1/nodes")["items"])

    def _pods(self) -> list[Object]:
        items: list[Object] = self._server.list_page("/api/v1/pods")["items"]
        return items


def disrupt(server: FakeAPIServer, pod: Object, reason: str, message: str, **status: Any) -> None:
    """Sets DisruptionTarget, as whoever ends a pod through no fault of its own does before."""
    conditions = [c for c in pod["status"].get("conditions") or () if c["type"] != "DisruptionTarget"]
    target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    body = {"conditions": [*conditions, target], **status}
    server.patch(f"{_path(pod)}/status", {"status": body}, actor="control-plane")


def _path(pod: Object) -> str:
    return path_of(Address(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _has_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in TERMINAL_PHASES


def _gpus(pod: Object) -> int:
    limits = (container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"])
    return sum(int(limit.get(GPU, 0)) for limit in limits)
