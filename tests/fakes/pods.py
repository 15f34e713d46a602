"""`PodDriver`: scheduler and kubelet of the fake API server, on simulated time.

Each new pod plays the `Script` that the scenario gives it: scheduled, started, reports, an end. A deleted pod gets
its SIGTERM and its end as a kubelet does it: the terminated container first, then the pod's removal.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from batch_operator.api import names, ranges
from tests.fakes.api_server import FakeAPIServer, path_of
from tests.fakes.resource_types import PODS, Address, Object
from tests.fakes.watch_log import Commit

HEARTBEAT_SECONDS = 20.0
GONE_SECONDS = 0.5
NODE = "node-1"
ASKED_TO_STOP, KILLED = 75, 137
Report = Mapping[str, Any]
OnReport = Callable[[str, Report], None]
"""Called with the pod's uid and the body of its POST."""


@dataclass(frozen=True, slots=True)
class PodPlace:
    """What a script may depend on."""

    component: str
    index: int
    attempt: int
    inputs: frozenset[int]


@dataclass(frozen=True, slots=True)
class Script:
    """The life of one pod; seconds from its creation (`scheduled`), then from its start."""

    scheduled: float = 1.0
    starts: float | None = 2.0
    """None: never; `waiting` says why."""
    waiting: tuple[str, str] | None = None
    reports: tuple[tuple[float, Report], ...] = ()
    ends: float | None = 10.0
    """None: it runs until it is stopped."""
    exit_code: int = 0
    message: str = ""
    """The termination message."""
    stop_seconds: float = 1.0
    """From SIGTERM to the end, with exit code 75."""


def report(completed: str = "", processing: str = "", failed: str = "", **more: Any) -> dict[str, Any]:
    """A report as docs/pod-contract.md has it."""
    return {"completed": completed, "processing": processing, "failed": failed, **more}


def finishes(place: PodPlace, after: float = 10.0, failed: str = "") -> Script:
    """A worker that ends with its whole block done, but for the inputs `failed`."""
    done = ranges.format_ranges(place.inputs - ranges.parse(failed))
    return Script(ends=after, message=json.dumps(report(done, failed=failed)))


class PodDriver:
    """Subscribes to the server at once. `script_of` is asked once per pod."""

    def __init__(
        self, server: FakeAPIServer, script_of: Callable[[PodPlace], Script], on_report: OnReport = lambda *_: None
    ) -> None:
        self._server = server
        self._clock = server.clock
        self._script_of = script_of
        self._on_report = on_report
        server.subscribe(self._heard)

    def _heard(self, commit: Commit) -> None:
        if commit.resource is not PODS or commit.actor == "kubelet":
            return
        meta = commit.object["metadata"]
        labels = meta.get("labels") or {}
        if names.COMPONENT_LABEL not in labels:
            return  # nobody's worker: it stays as it is
        if commit.type == "ADDED":
            place = PodPlace(
                labels[names.COMPONENT_LABEL],
                int(labels[names.INDEX_LABEL]),
                int(labels[names.ATTEMPT_LABEL]),
                ranges.parse(meta["annotations"][names.INPUTS_ANNOTATION]),
            )
            _Life(self._server, commit, self._script_of(place), self._on_report)


class _Life:
    """One pod from its creation to its end."""

    def __init__(self, server: FakeAPIServer, made: Commit, script: Script, on_report: OnReport) -> None:
        self._server = server
        self._clock = server.clock
        self._script = script
        self._on_report = on_report
        self._uid = str(made.object["metadata"]["uid"])
        self._path = path_of(Address(PODS, made.namespace, made.name))
        self._started_at = ""
        self._last: Report | None = None
        self._stopping = False
        self._over = False
        server.subscribe(self._heard)
        self._clock.call_after(script.scheduled, self._schedule)

    def _heard(self, commit: Commit) -> None:
        if self._stopping or commit.resource is not PODS or commit.object["metadata"]["uid"] != self._uid:
            return
        meta = commit.object["metadata"]
        if commit.type == "DELETED":
            self._over = self._stopping = True
        elif "deletionTimestamp" in meta:
            self._stopping = True
            grace = meta["deletionGracePeriodSeconds"]
            in_time = self._script.stop_seconds <= grace
            self._clock.call_after(min(self._script.stop_seconds, grace), lambda: self._stop(in_time))

    def _schedule(self) -> None:
        if self._gone():
            return
        self._server.patch(self._path, {"spec": {"nodeName": NODE}}, actor="scheduler")
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._clock.timestamp()}
        status: Object = {"conditions": [scheduled]}
        if self._script.waiting is not None:
            reason, message = self._script.waiting
            waiting = {"waiting": {"reason": reason, "message": message}}
            status["containerStatuses"] = [{"name": names.CONTAINER_NAME, "state": waiting}]
        self._status(status)
        if self._script.starts is not None:
            self._clock.call_after(self._script.starts, self._start)

    def _start(self) -> None:
        if self._gone() or self._stopping:
            return
        self._started_at = self._clock.timestamp()
        running = {"name": names.CONTAINER_NAME, "state": {"running": {"startedAt": self._started_at}}}
        self._status({"phase": "Running", "containerStatuses": [running]})
        for after, body in self._script.reports:
            self._clock.call_after(after, partial(self._report, body))
        if self._script.ends is not None:
            self._clock.call_after(self._script.ends, self._finish)
        self._clock.call_after(HEARTBEAT_SECONDS, self._heartbeat)

    def _report(self, body: Report) -> None:
        if not self._over and not self._gone():
            self._last = body
            self._on_report(self._uid, body)

    def _heartbeat(self) -> None:
        if self._over or self._gone():
            return
        if self._last is not None:
            self._on_report(self._uid, self._last)
        self._clock.call_after(HEARTBEAT_SECONDS, self._heartbeat)

    def _finish(self) -> None:
        if not self._over and not self._gone():
            self._end(self._script.exit_code, self._script.message)

    def _stop(self, in_time: bool) -> None:
        if self._gone():
            return
        if self._started_at and not self._over:
            last = json.dumps(self._last) if self._last and in_time else ""
            self._end(ASKED_TO_STOP if in_time else KILLED, last)
        self._over = True
        self._clock.call_after(GONE_SECONDS, self._remove)

    def _end(self, exit_code: int, message: str) -> None:
        self._over = True
        ended = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": self._started_at,
            "finishedAt": self._clock.timestamp(),
            "message": message,
        }
        container = {"name": names.CONTAINER_NAME, "state": {"terminated": ended}}
        self._status({"phase": "Failed" if exit_code else "Succeeded", "containerStatuses": [container]})

    def _remove(self) -> None:
        if not self._gone():
            self._server.delete(self._path, uid=self._uid, grace_seconds=0, actor="kubelet")

    def _status(self, status: Object) -> None:
        self._server.patch(f"{self._path}/status", {"status": status}, actor="kubelet")

    def _gone(self) -> bool:
        return not self._server.exists(self._uid)
