"""`PodDriver`: scheduler and kubelet of the fake API server, on simulated time.

Each new pod plays the `Script` that the scenario gives it: scheduled, started, reports, an end. A deleted pod gets
its SIGTERM and its end as a kubelet does it: the terminated container first, then the pod's removal.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from batch_operator.api import names, ranges
from tests.fakes.api_server import TERMINAL_PHASES, FakeAPIServer, path_of
from tests.fakes.nodes import Nodes
from tests.fakes.pod_scripts import Happening, PodPlace, Report, Script
from tests.fakes.resource_types import NODES, PODS, Address, Object
from tests.fakes.watch_log import Commit

HEARTBEAT_SECONDS = 20.0
GONE_SECONDS = 0.5
SCHEDULE_AGAIN_SECONDS = 0.5
POD_GC_SECONDS = 20.0
ASKED_TO_STOP, KILLED = 75, 137
OnReport = Callable[[str, Report], None]
"""Called with the pod's uid and the body of its POST."""
OnHappening = Callable[[Happening, Object], object]


class PodDriver:
    """Subscribes to the server at once. `script_of` is asked once per pod."""

    def __init__(
        self,
        server: FakeAPIServer,
        nodes: Nodes,
        script_of: Callable[[PodPlace], Script],
        on_report: OnReport = lambda *_: None,
        on_happening: OnHappening = lambda *_: None,
    ) -> None:
        self.server = server
        self.nodes = nodes
        self.on_report = on_report
        self.on_happening = on_happening
        self._script_of = script_of
        self._lives: dict[str, _Life] = {}
        self._waiting: list[_Life] = []
        server.subscribe(self._heard)

    def wait_for_a_node(self, life: "_Life") -> None:
        self._waiting.append(life)

    def end(self, pod: Object, *, reason: str, message: str, exit_code: int) -> None:
        """The kubelet ends a pod by itself; 75: it had the time to say its last word."""
        life = self._lives[pod["metadata"]["uid"]]
        words = life.last_word() if exit_code == ASKED_TO_STOP else ""
        life.end(exit_code, words, status={"phase": "Failed", "reason": reason, "message": message})

    def exit(self, pod: Object, exit_code: int, message: str = "") -> None:
        """Its process ends by itself."""
        self._lives[pod["metadata"]["uid"]].end(exit_code, message)

    def says(self, pod: Object, body: Report) -> None:
        self._lives[pod["metadata"]["uid"]].report(body)

    def _heard(self, commit: Commit) -> None:
        if self._waiting and (commit.resource is NODES or (commit.resource is PODS and _frees_a_place(commit))):
            self.server.clock.call_after(SCHEDULE_AGAIN_SECONDS, self._schedule_waiting)
        if commit.resource is not PODS:
            return
        meta = commit.object["metadata"]
        labels = meta.get("labels") or {}
        life = self._lives.get(meta["uid"])
        if life is not None:
            life.heard(commit)
        elif commit.type == "ADDED" and names.COMPONENT_LABEL in labels:  # else nobody's worker: it stays as it is
            place = PodPlace(
                next((owner["name"] for owner in meta.get("ownerReferences") or ()), ""),
                labels[names.COMPONENT_LABEL],
                int(labels[names.INDEX_LABEL]),
                int(labels[names.ATTEMPT_LABEL]),
                ranges.parse(meta["annotations"][names.INPUTS_ANNOTATION]),
            )
            self._lives[meta["uid"]] = _Life(self, commit, self._script_of(place))

    def _schedule_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for life in waiting:
            life.schedule()


class _Life:
    """One pod from its creation to its end."""

    def __init__(self, driver: PodDriver, made: Commit, script: Script) -> None:
        self._driver = driver
        self._server = driver.server
        self._clock = driver.server.clock
        self._script = script
        self._uid = str(made.object["metadata"]["uid"])
        self._path = path_of(Address(PODS, made.namespace, made.name))
        self._node = ""
        self._gated = False
        self._started_at = ""
        self._last: Report | None = None
        self._stopping = False
        self._over = False
        self._clock.call_after(script.scheduled, self.schedule)

    def heard(self, commit: Commit) -> None:
        meta = commit.object["metadata"]
        if self._stopping:
            return
        if commit.type == "DELETED":
            self._over = self._stopping = True
        elif self._gated and not commit.object["spec"].get("schedulingGates"):
            self._gated = False
            self._clock.call_after(self._script.scheduled, self.schedule)
        elif "deletionTimestamp" in meta:
            self._stopping = True
            grace = meta["deletionGracePeriodSeconds"]
            in_time = self._script.stop_seconds <= grace
            self._clock.call_after(min(self._script.stop_seconds, grace), lambda: self._stop(in_time))

    def schedule(self) -> None:
        if self._gone():
            return
        pod = self._server.get(self._path)
        self._gated = bool(pod["spec"].get("schedulingGates"))
        if self._gated or "deletionTimestamp" in pod["metadata"]:
            return
        self._node = self._driver.nodes.room_for(pod)
        if not self._node:
            self._status({"conditions": [self._scheduled("False", self._driver.nodes.why_not())]}, "scheduler")
            self._driver.wait_for_a_node(self)
            return
        self._server.patch(self._path, {"spec": {"nodeName": self._node}}, actor="scheduler")
        status: Object = {"conditions": [self._scheduled("True")]}
        if self._script.waiting is not None:
            reason, message = self._script.waiting
            waiting = {"waiting": {"reason": reason, "message": message}}
            status["containerStatuses"] = [{"name": names.CONTAINER_NAME, "state": waiting}]
        if self._script.rejected is not None:
            reason, message = self._script.rejected
            self._over = True
            status |= {"phase": "Failed", "reason": reason, "message": message}
        self._status(status)
        if self._script.starts is not None and not self._over:
            self._clock.call_after(self._script.starts, self._start)

    def end(self, exit_code: int, message: str, why: str = "", status: Mapping[str, Any] | None = None) -> None:
        """Its container ends; `why`: the container's reason, `status`: more of the pod's."""
        if self._over or self._frozen():
            return
        self._over = True
        ended = {
            "exitCode": exit_code,
            "reason": why or ("Error" if exit_code else "Completed"),
            "startedAt": self._started_at,
            "finishedAt": self._clock.timestamp(),
            "message": message,
        }
        whole = {"phase": "Failed" if exit_code else "Succeeded", **(status or {})}
        if self._started_at:
            whole["containerStatuses"] = [{"name": names.CONTAINER_NAME, "state": {"terminated": ended}}]
        self._status(whole)

    def last_word(self) -> str:
        return json.dumps(self._last) if self._last else ""

    def _scheduled(self, value: str, message: str = "") -> Object:
        condition = {"type": "PodScheduled", "status": value, "lastTransitionTime": self._clock.timestamp()}
        return condition | ({"reason": "Unschedulable", "message": message} if message else {})

    def _start(self) -> None:
        if self._frozen() or self._stopping or self._over:
            return
        self._started_at = self._clock.timestamp()
        running = {"name": names.CONTAINER_NAME, "state": {"running": {"startedAt": self._started_at}}}
        self._status({"phase": "Running", "containerStatuses": [running]})
        for after, body in self._script.reports:
            self._clock.call_after(after, partial(self.report, body))
        for after, happening in self._script.happens:
            self._clock.call_after(after, partial(self._happen, happening))
        if self._script.ends is not None:
            script = self._script
            self._clock.call_after(self._script.ends, lambda: self.end(script.exit_code, script.message, script.reason))
        self._clock.call_after(HEARTBEAT_SECONDS, self._heartbeat)

    def _happen(self, happening: Happening) -> None:
        if not self._over and not self._stopping and not self._gone():
            self._driver.on_happening(happening, self._server.get(self._path))

    def report(self, body: Report) -> None:
        if not self._over and not self._frozen():
            self._last = body
            self._driver.on_report(self._uid, body)

    def _heartbeat(self) -> None:
        if self._over or self._frozen():
            return
        if self._last is not None:
            self._driver.on_report(self._uid, self._last)
        self._clock.call_after(HEARTBEAT_SECONDS, self._heartbeat)

    def _stop(self, in_time: bool) -> None:
        if self._frozen():
            return
        if self._started_at:
            self.end(ASKED_TO_STOP if in_time else KILLED, self.last_word() if in_time else "")
        self._over = True
        self._clock.call_after(GONE_SECONDS, self._remove)

    def _remove(self) -> None:
        if self._frozen():
            return
        self._server.delete(self._path, uid=self._uid, grace_seconds=0, actor="kubelet")
        if not self._node and not self._gone():  # somebody's finalizer keeps it
            self._clock.call_after(POD_GC_SECONDS, self._collect)

    def _collect(self) -> None:
        """PodGC, on a pod that was deleted before it had a node: no kubelet will ever say that it has ended."""
        if not self._gone():
            self._status({"phase": "Failed"}, "pod-garbage-collector")

    def _status(self, status: Object, actor: str = "kubelet") -> None:
        self._server.patch(f"{self._path}/status", {"status": status}, actor=actor)

    def _frozen(self) -> bool:
        """Gone, or its node's kubelet does nothing any more."""
        return self._node in self._driver.nodes.dead or self._gone()

    def _gone(self) -> bool:
        return not self._server.exists(self._uid)


def _frees_a_place(commit: Commit) -> bool:
    return commit.type == "DELETED" or commit.object["status"].get("phase") in TERMINAL_PHASES
