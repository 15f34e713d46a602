"""`SimulatedOperator`: one operator process on the fake API server, its time simulated and its steps in order.

The real parts: Observations and the subscriptions of handlers.watches, WorkQueue, Reconciler (gather, reconcile,
apply), the audit. Stood in for: kopf's watches and the pods' Reflector by `_Watch` (list, watch, resume, list again
after 410; kopf's never tells of what vanished meanwhile), the workers by `step`, the progress endpoint by
`take_report`. `crash` loses all memory.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

import kopf
import orjson

from batch_operator.api import names, ranges
from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, PIPELINES, PODS
from batch_operator.cluster.store import RecordStore
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.config import Settings
from batch_operator.handlers import audit
from batch_operator.handlers.endpoints import COALESCE_SECONDS
from batch_operator.handlers.reconciler import Reconciler
from batch_operator.handlers.watches import Key, register
from batch_operator.snapshot import decode_pipeline, decode_pod
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import WRITES, FakeClient, Request
from tests.fakes.faults import (
    ANSWERS,
    LATE_COMMIT_SECONDS,
    LATE_SECONDS,
    PAUSES,
    TIMEOUT_SECONDS,
    TIMEOUTS,
    WATCH_FAULTS,
    WRITE_FAULTS,
    Crashed,
    Fault,
    Kind,
    answer,
    no_answer,
)
from tests.fakes.resource_types import Object
from tests.fakes.watch_log import WatchStream

SETTINGS = Settings(progress_url="https://progress.test:8443", audit_interval_seconds=600)
METRICS = Metrics("simulated")
REPEATED = 4
Sink = Callable[[str | None, Object], None]


class Surroundings(Protocol):
    """What an operator's misfortunes do to the world around it; world.World is one."""

    async def others_run(self, operator: "SimulatedOperator", seconds: float) -> None: ...
    def start_second(self) -> None: ...
    def crashed(self, operator: "SimulatedOperator") -> None: ...
    def before_write(self, fault: Fault, request: Request) -> None: ...


class SimulatedOperator:
    """Starts with its first `step`. Only writes and watch events of the one that has the fault are counted for it."""

    def __init__(self, server: FakeAPIServer, name: str, fault: Fault, around: Surroundings) -> None:
        self.server = server
        self.name = name
        self.fault = fault
        self.alive = True
        self.paused = False
        self.busy = False
        self.writes = 0
        self.events = 0
        self.client = FakeClient(server, name, self._line)
        self._around = around
        self._started = False
        self._audit_due = False
        self._struck = False
        clock = server.clock
        self.seen = Observations(
            jobs=RecordStore(clock=clock.time),
            pods=RecordStore(clock=clock.time),
            pipelines=RecordStore(clock=clock.time),
            cluster_pipelines=RecordStore(clock=clock.time),
        )
        self.queue: WorkQueue[Key] = WorkQueue(timers=clock)
        register(kopf.OperatorRegistry(), self.seen, self.queue)
        rules = SETTINGS.rules("PEM")
        client = cast(Client, self.client)
        self._reconciler = Reconciler(client, self.seen, SETTINGS, rules, METRICS, now=clock.now)
        self._watches = [
            _Watch(self, PODS.path(), self._pod_heard, self._pods_listed, {"labelSelector": names.POD_SELECTOR}),
            _Watch(self, BATCH_JOBS.path(), self._job_heard),
            _Watch(self, PIPELINES.path(), self._pipeline_heard(self.seen.pipelines)),
            _Watch(self, CLUSTER_PIPELINES.path(), self._pipeline_heard(self.seen.cluster_pipelines)),
        ]

    # -- its life

    async def step(self) -> bool:
        """Hears what there is to hear, then one pass over one job; whether anything happened."""
        if not self.alive or self.paused:
            return False
        try:
            if not self._started:
                self._started = True
                await audit.list_registry(cast(Client, self.client), self.seen)
                self.server.clock.call_after(SETTINGS.audit_interval_seconds, self._ask_for_audit)
            heard = [watch.pump() for watch in self._watches]
            if self.busy:
                return any(heard)
            worked = await self._work()
            audited = await self._audit()
        except Crashed:
            return True
        return any(heard) or worked or audited

    def crash(self) -> None:
        self.alive = False
        self.queue.shut_down()
        for watch in self._watches:
            watch.close()
        self._around.crashed(self)

    def take_report(self, pod_uid: str, body: Mapping[str, Any]) -> None:
        """The progress endpoint: a living pod of ours, and numbers of its own block."""
        pod = self.seen.pods.get(pod_uid)
        report = Report.parse(orjson.dumps(dict(body)))
        if pod is None or not pod.is_live or report.numbers - ranges.parse(pod.inputs):
            return
        if self.seen.is_living(pod.owner_uid):
            self.seen.reports[pod.uid] = report
            self.queue.add_after((pod.namespace, pod.job_name), COALESCE_SECONDS)

    def strikes(self, kinds: tuple[Kind, ...], count: int) -> bool:
        """Whether this operator's fault is of these kinds and falls on this write or event; once only."""
        if self._struck or self.fault.kind not in kinds or self.fault.k != count:
            return False
        self._struck = True
        return True

    # -- one worker

    async def _work(self) -> bool:
        """As cluster.workqueue does it, one key at a time."""
        if not len(self.queue):
            return False
        self.busy = True
        key = await self.queue.get()
        try:
            again = await self._reconciler(key)
        except Exception as error:  # noqa: BLE001 - as the workers do
            self.queue.add_with_backoff(key, self._reconciler.failed(key, error))
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        finally:
            self.queue.done(key)
            self.busy = False
        return True

    def _ask_for_audit(self) -> None:
        self._audit_due = self.alive
        if self.alive:
            self.server.clock.call_after(SETTINGS.audit_interval_seconds, self._ask_for_audit)

    async def _audit(self) -> bool:
        if not self._audit_due:
            return False
        self._audit_due = False
        client = cast(Client, self.client)
        await audit.list_registry(client, self.seen)
        await audit.expire_jobs(client, self.seen)
        for job in self.seen.jobs.values():
            if self.seen.is_living(job.uid):
                self.queue.add((job.namespace, job.name))
        return True

    # -- between client and server

    async def _line(self, request: Request, send: Callable[[], Object]) -> Object:
        await self._awake()
        if request.verb not in WRITES:
            return send()
        count = self.writes
        self.writes += 1
        if self.strikes(WRITE_FAULTS, count):
            return await self._struck_by(self.fault, request, send)
        return send()

    async def _awake(self) -> None:
        """A stopped process sends nothing; a dead one never again."""
        while self.paused:
            await asyncio.sleep(0)
        if not self.alive:
            raise Crashed

    async def _struck_by(self, fault: Fault, request: Request, send: Callable[[], Object]) -> Object:
        kind = fault.kind
        self._around.before_write(fault, request)
        if kind in (Kind.CRASH_BEFORE, Kind.TAMPERED):
            self.crash()
            raise Crashed
        if kind in PAUSES:
            self._around.start_second()
            self.paused = True
            await self._around.others_run(self, PAUSES[kind])
            self.paused = False
        if kind in ANSWERS:
            raise answer(kind)
        if kind is Kind.LATE_COMMIT:
            self.server.clock.call_after(LATE_COMMIT_SECONDS, partial(_unheard, send))
        if kind in (Kind.TIMEOUT_BEFORE, Kind.LATE_COMMIT):
            await self._around.others_run(self, TIMEOUT_SECONDS)
            raise no_answer(request.path)
        reply = send()
        if kind in TIMEOUTS:
            await self._around.others_run(self, TIMEOUT_SECONDS)
            raise no_answer(request.path)
        if kind in (Kind.CRASH_AFTER_COMMIT, Kind.AWAY):
            self.crash()
            raise Crashed
        if kind is Kind.CRASH_AFTER_REPLY:
            self.crash()
        return reply

    # -- what its watches bring

    def _job_heard(self, change: str | None, raw: Object) -> None:
        self.seen.jobs.apply(change, decode_job(raw, self.seen.jobs.get(raw["metadata"]["uid"])))

    def _pod_heard(self, change: str | None, raw: Object) -> None:
        self.seen.pods.apply(change, decode_pod(raw))

    def _pipeline_heard(self, store: RecordStore[Any]) -> Sink:
        return lambda change, raw: store.apply(change, decode_pipeline(raw))

    def _pods_listed(self, items: list[Object], version: str) -> None:
        self.seen.pods.replace([decode_pod(raw) for raw in items], version)


class _Watch:
    """One list and watch, pumped by hand."""

    def __init__(
        self,
        operator: SimulatedOperator,
        path: str,
        sink: Sink,
        listed: Callable[[list[Object], str], None] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._operator = operator
        self._path = path
        self._sink = sink
        self._listed = listed
        self._params = params or {}
        self._version = ""
        self._stream: WatchStream | None = None
        self._held: list[Object] = []
        self._held_until = 0.0
        self._told: list[Object] = []

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def pump(self) -> bool:
        """Applies what has come; whether anything has."""
        server = self._operator.server
        if not self._version:
            self._list()
        if self._stream is None or self._stream.ended:
            self._stream = server.watch(self._path, {**self._params, "resourceVersion": self._version})
        self._held += self._stream.poll()
        heard = False
        while self._held and server.clock.time() >= self._held_until:
            event = self._held[0]
            if not self._take(event):
                return True
            heard = True
        return heard

    def _take(self, event: Object) -> bool:
        """False: the stream ended, or the event is held back."""
        if event["type"] == "ERROR":
            self._again("")
            return False
        operator = self._operator
        if operator.strikes(WATCH_FAULTS, operator.events):
            kind = operator.fault.kind
            if kind is Kind.WATCH_LATE:
                self._held_until = operator.server.clock.time() + LATE_SECONDS
                operator.server.clock.call_after(LATE_SECONDS, lambda: None)
                return False
            if kind in (Kind.WATCH_ENDS, Kind.WATCH_GONE):
                self._again("" if kind is Kind.WATCH_GONE else self._version)
                return False
            self._held[1:1] = [*self._told[1 - REPEATED :], event]
        operator.events += 1
        self._held.pop(0)
        self._version = event["object"]["metadata"]["resourceVersion"]
        if event["type"] != "BOOKMARK":
            self._told = [*self._told[1 - REPEATED :], event]
            self._sink(event["type"], event["object"])
        return True

    def _again(self, version: str) -> None:
        """The stream is lost: from this version on, or from a new list."""
        self._version = version
        self._stream = None
        self._held = []

    def _list(self) -> None:
        page = self._operator.server.list_page(self._path, self._params)
        self._version = page["metadata"]["resourceVersion"]
        if self._listed is not None:
            self._listed(page["items"], self._version)
            return
        for item in page["items"]:  # as kopf does: never a word on what is not there (docs/adr/0002)
            self._sink(None, item)


def _unheard(send: Callable[[], Object]) -> None:
    """A request whose sender has given it up; nobody hears the answer."""
    with suppress(ApiError):
        send()
