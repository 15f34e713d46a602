"""`SimulatedOperator`: one operator process on the fake API server, its time simulated and its steps in order.

The real parts: Observations and the subscriptions of handlers.watches, WorkQueue, Reconciler (gather, reconcile,
apply), the audit. Stood in for: kopf's watches and the Reflector by SimulatedWatch, the workers by `step`, the
progress endpoint by `take_report`. `crash` loses all memory.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

import kopf
import orjson

from batch_operator.api import names
from batch_operator.api.fields import READ_FIELDS
from batch_operator.cluster.client import Client, Listing
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.progress_server import Refused, read_report, refuse_unless_living
from batch_operator.cluster.resource_paths import BATCH_JOBS, NODES, PODS, Resource
from batch_operator.cluster.store import AGE_SECONDS
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.config import Settings
from batch_operator.handlers import audit
from batch_operator.handlers.endpoints import accept
from batch_operator.handlers.keys import Key, is_urgent
from batch_operator.handlers.own_kinds import OWN_KINDS, REGISTRY_AND_QUEUES, decoder, keep, list_again, store_of
from batch_operator.handlers.reconciler import Reconciler
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.handlers.steady_clock import SteadyClock
from batch_operator.handlers.watches import job_heard, register
from batch_operator.snapshot import decode_node, decode_pod
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import WRITES, FakeClient, Request
from tests.fakes.faults import (
    ANSWERS,
    CLOCK_RESTARTS,
    CLOCK_STEPS,
    LATE_COMMIT_SECONDS,
    LOST,
    PAUSES,
    SECONDS_LOST,
    STALE,
    STALE_COMMITS,
    Crashed,
    Fault,
    Kind,
    Misfortunes,
    answer,
    no_answer,
)
from tests.fakes.resource_types import Object
from tests.fakes.simulated_watch import FROZEN_SECONDS, SimulatedWatch

LEASE_SECONDS = 60.0
"""After that one of two operators has noticed that it has lost the lead, and ended."""
SETTINGS = Settings(progress_url="https://progress.test:8443", audit_interval_seconds=600)
METRICS = Metrics("simulated")


class Surroundings(Protocol):
    """What an operator's misfortunes do to the world around it; world.World is one."""

    wall_offset: float
    """Seconds by which the wall clock of the operators' machine is ahead of the API server's."""

    version_at_crash: int
    stopped: set[str]
    """Operators that went on with what they knew long ago, or whose request was long under way."""

    async def others_run(self, operator: "SimulatedOperator", seconds: float) -> None: ...
    def start_another(self, after: Fault | None = None) -> None: ...
    def crashed(self, fault: Fault, seconds: float) -> None: ...
    def before_write(self, fault: Fault, request: Request) -> None: ...


class SimulatedOperator:
    """Starts with its first `step`. `after`: the fault that ended the process before this one."""

    def __init__(
        self, server: FakeAPIServer, name: str, misfortunes: Misfortunes, around: Surroundings, after: Fault | None
    ) -> None:
        self.server = server
        self.name = name
        self.misfortunes = misfortunes
        self.alive = True
        self.paused = False
        self.busy = False
        self.client = FakeClient(server, name, self._line, as_of=self._listed_as_of, fields=READ_FIELDS)
        self.frozen_until = 0.0
        self.lists_at: dict[str, int] = {}
        if after is not None and after.kind in STALE:
            self.lists_at = dict.fromkeys(STALE[after.kind], around.version_at_crash - STALE_COMMITS)
            self.frozen_until = server.clock.time() + FROZEN_SECONDS
            server.clock.call_at(self.frozen_until, lambda: None)
        self._around = around
        self._started = False
        self._audit_due = False
        clock = server.clock
        self.seen = Observations()
        self._older_at = clock.time() + AGE_SECONDS
        self.queue: WorkQueue[Key] = WorkQueue(timers=clock, urgent=is_urgent)
        register(kopf.OperatorRegistry(), self.seen, self.queue)
        rules = SETTINGS.rules("PEM")
        client = cast(Client, self.client)
        now = SteadyClock(lambda: clock.moment().timestamp() + around.wall_offset, clock.time)
        scheduler = Scheduler(self.seen, self.queue, now, METRICS, clock.time, clock.time)
        self._reconciler = Reconciler(client, self.seen, SETTINGS, rules, METRICS, scheduler, now)
        pods = {"labelSelector": names.POD_SELECTOR}
        self._kopf_watches = {
            kind: SimulatedWatch(
                self, kind.path(), partial(self._kind_heard, kind), partial(self._kind_listed, kind), of_kopf=True
            )
            for kind in (BATCH_JOBS, *REGISTRY_AND_QUEUES)
        }
        self._watches = [
            SimulatedWatch(self, NODES.path(), self._node_heard, self._nodes_listed),
            SimulatedWatch(self, PODS.path(), self._pod_heard, self._pods_listed, pods),
            *self._kopf_watches.values(),
        ]

    # -- its life

    async def step(self) -> bool:
        """Hears what there is to hear, then one pass over one job; whether anything happened."""
        if not self.alive or self.paused:
            return False
        try:
            if not self._started:
                self._started = True
                await self._list_first(cast(Client, self.client))
                self.server.clock.call_after(SETTINGS.audit_interval_seconds, self._ask_for_audit)
            self._grow_older()
            heard = [watch.pump() for watch in self._watches]
            if self.busy:
                return any(heard)
            worked = await self._work()
            audited = await self._audit()
        except Crashed:
            return True
        return any(heard) or worked or audited

    def _grow_older(self) -> None:
        """As audit.grow_older does; once, however long the process was stopped."""
        if self.server.clock.time() >= self._older_at:
            self._older_at = self.server.clock.time() + AGE_SECONDS
            self.seen.grow_older()

    async def _list_first(self, client: Client) -> None:
        """What handlers.lifecycle lists before the workers start; the watches of kopf begin there."""
        for kind in OWN_KINDS:
            self._kopf_watches[kind].begin(await list_again(client, self.seen, kind))

    def end(self) -> None:
        self.alive = False
        self.queue.shut_down()
        for watch in self._watches:
            watch.close()

    def crash(self, fault: Fault, away_seconds: float | None = None) -> None:
        """`away_seconds`: until another one starts."""
        self.end()
        self._around.crashed(fault, fault.restart_seconds if away_seconds is None else away_seconds)

    def take_report(self, pod_uid: str, body: Mapping[str, Any]) -> None:
        """A POST to the progress endpoint, whose token named this pod."""
        pod = self.seen.pods.get(pod_uid)
        if pod is None:
            return
        with suppress(Refused):
            refuse_unless_living(pod)
            accept(self.seen, self.queue, pod, read_report(pod, orjson.dumps(dict(body))))

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
        with suppress(ApiError):  # as audit.run does: the next one comes
            await audit.round_of_all(client, self.seen, self.queue)
        return True

    # -- between client and server

    def _listed_as_of(self, path: str) -> int | None:
        """Its first lists lead to the server that lags behind, as its watches do."""
        return self.lists_at.get(path.rsplit("/", 1)[-1]) if self.server.clock.time() < self.frozen_until else None

    async def _line(self, request: Request, send: Callable[[], Object]) -> Object:
        await self._awake()
        if request.verb not in WRITES:
            return send()
        fault = self.misfortunes.at_write()
        return send() if fault is None else await self._struck_by(fault, request, send)

    async def _awake(self) -> None:
        """A stopped process sends nothing; a dead one never again."""
        while self.paused:
            await asyncio.sleep(0)
        if not self.alive:
            raise Crashed

    async def _struck_by(self, fault: Fault, request: Request, send: Callable[[], Object]) -> Object:
        kind = fault.kind
        self._around.before_write(fault, request)
        if kind in PAUSES or kind is Kind.LATE_COMMIT:
            self._around.stopped.add(self.name)
        if kind in (Kind.CRASH_BEFORE, Kind.TAMPERED):
            self.crash(fault)
            raise Crashed
        if kind in ANSWERS:
            raise answer(kind)
        if kind in PAUSES:
            self._around.start_another()
            self.paused = True
            await self._around.others_run(self, PAUSES[kind])
            self.paused = False
            self.server.clock.call_after(LEASE_SECONDS, self.end)
        if kind is Kind.LATE_COMMIT:
            self.server.clock.call_after(LATE_COMMIT_SECONDS, partial(_unheard, send))
        self._around.wall_offset += CLOCK_STEPS.get(kind, 0.0)
        committed, words = LOST.get(kind, (kind is not Kind.LATE_COMMIT, "no answer in time"))
        reply = send() if committed else {}
        if kind in SECONDS_LOST:
            await self._around.others_run(self, SECONDS_LOST[kind])
        if kind in LOST or not committed:
            raise no_answer(request.path, words)
        if kind in (Kind.CRASH_AFTER_COMMIT, Kind.AWAY, *STALE):
            self.crash(fault)
            raise Crashed
        if kind is Kind.CRASH_AFTER_REPLY or kind in CLOCK_RESTARTS:
            self.crash(fault)
        return reply

    # -- what its watches bring

    def _kind_heard(self, kind: Resource, change: str | None, raw: Object) -> None:
        if kind == BATCH_JOBS:
            job_heard(self.seen, change, raw)
        else:
            store_of(self.seen, kind).apply(change, decoder(self.seen, kind)(raw))

    def _pod_heard(self, change: str | None, raw: Object) -> None:
        self.seen.pods.apply(change, decode_pod(raw))

    def _node_heard(self, change: str | None, raw: Object) -> None:
        self.seen.nodes.apply(change, decode_node(raw))

    def _nodes_listed(self, items: list[Object], version: str) -> None:
        self.seen.nodes.replace([decode_node(raw) for raw in items], version)

    def _kind_listed(self, kind: Resource, items: list[Object], version: str) -> None:
        """As handlers.kopf_lists has it listed before kopf watches again."""
        keep(self.seen, kind, Listing(tuple(map(decoder(self.seen, kind), items)), version))

    def _pods_listed(self, items: list[Object], version: str) -> None:
        self.seen.pods.replace([decode_pod(raw) for raw in items], version)


def _unheard(send: Callable[[], Object]) -> None:
    """A request whose sender has given it up; nobody hears the answer."""
    with suppress(ApiError):
        send()
