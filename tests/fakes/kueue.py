"""`SimulatedKueue`: what a plain pod, or a group of them, notices of Kueue, on the fake API server.

Nobody has held it against a running Kueue. Its rules are read off Kueue's documents (Run Plain Pods, Troubleshooting
Pods, KEP-976) and off its pod controller and webhook, v0.11 to v0.18:

- a pod with the label queue-name gets the gate, the finalizer and the label `managed`;
- a group queues once as many pods as its annotation says can run, under the group's name, and is admitted as a whole;
- a group has finished when all its pods have succeeded, or when it is not retriable and each pod has a terminal phase;
  only then its pods lose their finalizer. Before that a failed pod does so only where a replacement joins the group;
- a Workload belongs to its pods: once they are gone, nothing is known of the group;
- a single pod has finished with its terminal phase, and is let go as soon as it is deleted;
- a preempted group's pods get the condition TerminationTarget and are deleted.
"""

from collections.abc import Mapping
from typing import Any

from tests.fakes.api_server import TERMINAL_PHASES, path_of
from tests.fakes.resource_types import PODS, Address, Object, ResourceType
from tests.fakes.watch_log import Commit
from tests.fakes.world import World

GATE = "kueue.x-k8s.io/admission"
MANAGED = "kueue.x-k8s.io/managed"
QUEUE = "kueue.x-k8s.io/queue-name"
GROUP = "kueue.x-k8s.io/pod-group-name"
COUNT = "kueue.x-k8s.io/pod-group-total-count"
RETRIABLE = "kueue.x-k8s.io/retriable-in-group"
REACTION_SECONDS = 0.2


class SimulatedKueue:
    """Admits Workloads, oldest first, while `room` pods of quota last. Hangs itself on the world's server."""

    def __init__(self, world: World, room: int = 64) -> None:
        self._world = world
        self._server = world.server
        self.room = room
        self.admitted: dict[str, int] = {}
        """Pods of quota, by Workload."""
        self._line: list[str] = []
        self._finished: set[str] = set()
        self._looks = False
        self._server.webhooks.append(_gate)
        self._server.subscribe(self._heard)

    def look_soon(self) -> None:
        if not self._looks:
            self._looks = True
            self._world.clock.call_after(REACTION_SECONDS, self._look)

    def preempt(self, name: str) -> None:
        """Another Workload of a higher priority needs its quota."""
        words = "Preempted to accommodate a workload due to prioritization in the ClusterQueue"
        self.admitted.pop(name)
        self._line.append(name)
        for pod in self._groups().get(name, []):
            if not (_is_gated(pod) or _has_ended(pod) or "deletionTimestamp" in pod["metadata"]):
                target = {"type": "TerminationTarget", "status": "True", "reason": "Preempted", "message": words}
                conditions = [*(pod["status"].get("conditions") or ()), target]
                self._server.patch(f"{_path(pod)}/status", {"status": {"conditions": conditions}}, actor="kueue")
                self._server.delete(_path(pod), uid=pod["metadata"]["uid"], actor="kueue")

    def waiting(self) -> list[str]:
        return list(self._line)

    # -- inside

    def _heard(self, commit: Commit) -> None:
        if commit.resource is PODS:
            self.look_soon()

    def _look(self) -> None:
        self._looks = False
        groups = self._groups()
        self._finished &= set(groups)
        for name, pods in groups.items():
            self._look_at(name, pods)
        for name in list(self._line):
            self._admit(name)

    def _look_at(self, name: str, pods: list[Object]) -> None:
        single = GROUP not in pods[0]["metadata"]["labels"]
        total = 1 if single else int(pods[0]["metadata"]["annotations"][COUNT])
        known = name in self._line or name in self.admitted or name in self._finished
        if single and "deletionTimestamp" in pods[0]["metadata"]:
            self._forget(name)
            self._release(pods)
        elif name in self._finished:
            self._release(pods)
        elif _is_finished(pods, total):
            self._forget(name)
            self._finished.add(name)
            self._release(pods)
        elif not known and sum(_can_run(pod) for pod in pods) == total:
            self._line.append(name)
        elif not known:
            self._release([pod for pod in pods if not _can_run(pod)])

    def _admit(self, name: str) -> None:
        pods = [pod for pod in self._groups().get(name, []) if _is_gated(pod)]
        if not pods or any("deletionTimestamp" in pod["metadata"] for pod in pods):
            return
        if sum(self.admitted.values()) + len(pods) > self.room:
            return
        self._line.remove(name)
        self.admitted[name] = len(pods)
        for pod in pods:
            self._server.patch(_path(pod), {"spec": {"schedulingGates": None}}, actor="kueue")

    def _forget(self, name: str) -> None:
        self.admitted.pop(name, None)
        if name in self._line:
            self._line.remove(name)

    def _release(self, pods: list[Object]) -> None:
        for pod in pods:
            if pod["metadata"].get("finalizers"):
                self._server.patch(_path(pod), {"metadata": {"finalizers": None}}, actor="kueue")

    def _groups(self) -> dict[str, list[Object]]:
        """Pods of each group; one without a group is one of its own."""
        found: dict[str, list[Object]] = {}
        for pod in self._server.list_page("/api/v1/pods")["items"]:
            labels = pod["metadata"].get("labels") or {}
            if MANAGED in labels:
                found.setdefault(labels.get(GROUP) or f"pod-{pod['metadata']['name']}", []).append(pod)
        return found


def _gate(resource: ResourceType, new: Object) -> None:
    meta = new["metadata"]
    if resource is not PODS or not (meta.get("labels") or {}).get(QUEUE):
        return
    assert (GROUP in meta["labels"]) == (COUNT in meta.get("annotations", {})), "the webhook wants both or none"
    meta["labels"] = meta["labels"] | {MANAGED: "true"}
    meta["finalizers"] = [MANAGED]
    new["spec"] = new["spec"] | {"schedulingGates": [{"name": GATE}]}


def _is_finished(pods: list[Object], total: int) -> bool:
    if sum(pod["status"].get("phase") == "Succeeded" for pod in pods) == total:
        return True
    retriable = all((pod["metadata"].get("annotations") or {}).get(RETRIABLE) != "false" for pod in pods)
    single = GROUP not in pods[0]["metadata"]["labels"]
    return all(_has_ended(pod) for pod in pods) and (single or not retriable)


def _can_run(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName"):
        return False
    return bool(pod["status"].get("phase") != "Failed")


def _is_gated(pod: Mapping[str, Any]) -> bool:
    return any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates") or ())


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return pod["status"].get("phase") in TERMINAL_PHASES


def _path(pod: Mapping[str, Any]) -> str:
    return path_of(Address(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]))
