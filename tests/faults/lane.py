"""`Lane`: one namespace, one fake node, one proxy, and the operator process behind it. Plays one plan after the other.

Several lanes stand in one cluster without seeing one another. Used by plans.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PIPELINES, PODS, QUEUES, Resource
from tests.fakes import resource_types as kinds
from tests.faults import faults
from tests.faults.bench import Bench, custom
from tests.faults.faults import Fault
from tests.faults.history import NamespaceHistory, Seen
from tests.faults.kubelet import Kubelet
from tests.faults.operator_process import OperatorProcess
from tests.faults.proxy import FaultProxy, Written
from tests.faults.scenarios import Scenario, pipeline_on
from tests.faults.upstream import Object

RESTART_SECONDS = 0.1
QUIET_SECONDS = 0.7
PATIENCE_SECONDS = 150.0
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
TERMINAL_PHASES = ("Succeeded", "Failed")
_QUICK = {
    "BATCH_OPERATOR_PROGRESS_INTERVAL_SECONDS": "0.2",
    "BATCH_OPERATOR_DISPLACE_AFTER_SECONDS": "1",
    "BATCH_OPERATOR_LOG_LEVEL": "DEBUG",
}
_OFTEN_AUDITED = (faults.WATCH_GONE, faults.WATCH_DROP)


@dataclass(frozen=True)
class Record:
    """What one plan left behind. `restarts`: the operator ended without our doing."""

    seen: list[Seen]
    writes: list[Written]
    began: float
    ended: float
    struck: bool
    events: int
    restarts: int
    in_time: bool


class Lane:
    """Make it, `open` it, `play` plans one at a time, `close` it."""

    def __init__(self, number: int, bench: Bench) -> None:
        self.namespace = f"faults-{bench.id}-{number}"
        self.node = f"fake-{self.namespace}"
        self._bench = bench
        self._upstream = bench.upstream
        self._kubeconfig = bench.directory / f"kubeconfig-{number}"
        self.log = bench.directory / f"operator-{number}.log"
        self.proxy = FaultProxy(bench.upstream, self.namespace)
        self.history: NamespaceHistory = bench.recorder.of(self.namespace)
        self.bug = ""
        """Seeded into the operators that are started from here on."""
        self._operator: OperatorProcess | None = None
        self._stopping = False
        self._restarts = 0

    async def open(self) -> None:
        await self.proxy.start()
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.proxy.port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster]}
        users = [{"name": "u", "user": {}}]
        self._kubeconfig.write_text(json.dumps({**config, "contexts": [context], "users": users}))
        await self._bench.make_node(self.node)
        await self._bench.make_namespace(self.namespace)

    async def close(self) -> None:
        await self.proxy.stop()
        await self._bench.remove([self.namespace], [self.node])

    def keep_log(self) -> None:
        self._bench.keep_logs = True

    async def play(self, scenario: Scenario, fault: Fault) -> Record:
        """Leaves the namespace as empty as it was."""
        kubelet = Kubelet(self._upstream, scenario.script)
        self.history.begin(await self._version())
        self.history.listener = kubelet.heard
        self.proxy.arm(fault, self._crash)
        self._stopping, self._restarts = False, 0
        began = time.monotonic()
        operator = asyncio.create_task(self._keep_running(fault))
        try:
            await self._set_up(scenario)
            in_time = await self._to_the_end(scenario, operator)
            return Record(
                list(self.history.seen),
                list(self.proxy.writes),
                began,
                time.monotonic(),
                self.proxy.struck,
                self.proxy.events,
                self._restarts,
                in_time,
            )
        finally:
            await self._end(operator)
            await kubelet.close()
            await self._clear()

    # -- the operator process

    async def _keep_running(self, fault: Fault) -> None:
        """As a Deployment does: another process whenever one has ended."""
        while not self._stopping:
            await self.proxy.shut()
            self.proxy.open()
            self._operator = await self._bench.zygote.start(self._environment(fault), self.log, self.bug)
            await self._operator.ended.wait()
            if not self._stopping:
                self._restarts += 1
                await asyncio.sleep(RESTART_SECONDS)

    async def _crash(self) -> None:
        if self._operator is not None:
            await self._operator.kill()
            self._restarts -= 1

    async def _end(self, operator: asyncio.Task[None]) -> None:
        self._stopping = True
        if self._operator is not None:
            await self._operator.kill()
        operator.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await operator

    def _environment(self, fault: Fault) -> Mapping[str, str]:
        audit = {"BATCH_OPERATOR_AUDIT_INTERVAL_SECONDS": "3"} if fault.kind in _OFTEN_AUDITED else {}
        return {
            **_QUICK,
            **audit,
            "KUBECONFIG": str(self._kubeconfig),
            "BATCH_OPERATOR_NAMESPACE": self.namespace,
            "BATCH_OPERATOR_POD_UID": self.namespace,  # the next container of one pod: the Lease is its own
            "BATCH_OPERATOR_BIND_ADDRESS": "127.0.0.1",
            "BATCH_OPERATOR_HTTP_PORT": "0",
        }

    # -- the plan

    async def _set_up(self, scenario: Scenario) -> None:
        pipeline = custom("Pipeline", "classify-1.1.1", pipeline_on(scenario.pipeline, self.node))
        await self._upstream.ask("POST", PIPELINES.path(self.namespace), pipeline)
        if scenario.queue is not None:
            await self._upstream.ask("POST", QUEUES.path(), custom("Queue", self.namespace, scenario.queue))
        for name in scenario.jobs:
            if name not in scenario.later:
                job = custom("BatchJob", name, scenario.job_spec(name, self.namespace))
                await self._upstream.ask("POST", BATCH_JOBS.path(self.namespace), job)

    async def _to_the_end(self, scenario: Scenario, operator: asyncio.Task[None]) -> bool:
        """Does what people do, and waits until nothing moves any more; False: it took too long."""
        acts, near = list(scenario.acts), 0.0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._bench.recorder.check()
            if operator.done():
                operator.result()  # raises: no operator could be started
            jobs, pods = self.history.of(kinds.BATCH_JOBS), self.history.of(kinds.PODS)
            near = near or time.monotonic() if acts and acts[0].is_near(pods) else 0.0
            if near and acts[0].is_due(jobs, pods, time.monotonic() - near):
                await acts.pop(0).do(self._upstream, self.namespace, pods)
            elif not acts and self._is_at_rest(scenario):
                return True
            await asyncio.sleep(0.05)
        return False

    def _is_at_rest(self, scenario: Scenario) -> bool:
        jobs, pods = self.history.of(kinds.BATCH_JOBS), self.history.of(kinds.PODS)
        if len(jobs) != (0 if scenario.expects is None else len(scenario.jobs)):
            return False
        watched = {f"{r.path(self.namespace)}" for r in (BATCH_JOBS, PODS)} <= self.proxy.streams
        ended = all((job.get("status") or {}).get("status") in TERMINAL for job in jobs)
        over = all((pod.get("status") or {}).get("phase") in TERMINAL_PHASES for pod in pods)
        if not (watched and ended and over and (jobs or not pods)):
            return False
        moved = max(self.proxy.last_write, self.proxy.opened, *(seen.at for seen in self.history.seen[-1:]))
        return time.monotonic() - moved > QUIET_SECONDS

    async def _clear(self) -> None:
        """Empties the namespace, and waits until the recorder has seen it."""
        for resource in (BATCH_JOBS, PIPELINES):
            await self._upstream.ask("DELETE", resource.path(self.namespace))
        await self._upstream.ask("DELETE", QUEUES.path(name=self.namespace), may_fail=(404,))
        await self._upstream.ask("DELETE", f"{PODS.path(self.namespace)}?gracePeriodSeconds=0")
        selector = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dbatch-operator"
        await self._upstream.ask("DELETE", f"{CONFIG_MAPS.path(self.namespace)}?{selector}")
        while await self._left(BATCH_JOBS) or await self._left(PODS):
            await asyncio.sleep(0.05)

    async def _version(self) -> int:
        return int((await self._upstream.ask("GET", PODS.path(self.namespace)))["metadata"]["resourceVersion"])

    async def _left(self, resource: Resource) -> list[Object]:
        return list((await self._upstream.ask("GET", resource.path(self.namespace)))["items"])
