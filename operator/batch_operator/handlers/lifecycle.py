"""Starts and ends everything that runs beside kopf, in order.

Start: metrics and probes, the lead, then certificates and the progress endpoint, the first lists of nodes, pods and
registry, and last the workers and kopf's watches; so that one who waits for the lead watches nothing, and no job is
judged before all that a judgement needs is known. Called by main.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import kopf
import structlog

from batch_operator import __version__
from batch_operator.api import names
from batch_operator.api.fields import READ_FIELDS
from batch_operator.cluster.client import Client
from batch_operator.cluster.election import Election, Terms
from batch_operator.cluster.endpoint_slice import Backend, ProgressEndpoints
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.health_server import Check
from batch_operator.cluster.lead import Lead
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.reflector import Reflector
from batch_operator.cluster.resource_paths import NODES, PODS
from batch_operator.cluster.workqueue import WorkQueue, run_workers
from batch_operator.config import Settings
from batch_operator.handlers import audit
from batch_operator.handlers.endpoints import ProgressReceiver, health_server
from batch_operator.handlers.keys import Key, is_urgent
from batch_operator.handlers.kopf_lists import KopfLists
from batch_operator.handlers.kopf_session import WatchTrace, login
from batch_operator.handlers.kopf_settings import settings as kopf_settings
from batch_operator.handlers.own_kinds import OWN_KINDS, fetch, keep, list_again
from batch_operator.handlers.reconciler import Reconciler
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.handlers.steady_clock import SteadyClock
from batch_operator.handlers.watches import register
from batch_operator.snapshot import NodeRecord, PodRecord, decode_node, decode_pod

RETRY_SECONDS = 2.0
DRAIN_SECONDS = 3.0
EXIT_SECONDS = 10.0
MANY_OBJECTS = 1_000_000
WORKERS = "workers"

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Operator:
    """One process. `run()` returns after SIGTERM and raises where it cannot go on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(__version__)
        self._seen = Observations()
        self._queue: WorkQueue[Key] = WorkQueue(urgent=is_urgent)
        self._now = SteadyClock()
        displace_after = timedelta(seconds=settings.displace_after_seconds)
        self._scheduler = Scheduler(self._seen, self._queue, self._now, self._metrics, displace_after=displace_after)
        self._trace = WatchTrace()
        self._lead = Lead(settings.lease_deadline_seconds)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._failure: BaseException | None = None

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):  # until kopf sets its own: as pid 1 there is no other
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        terms = self._terms
        async with (
            await Client.connect(
                on_request=self._metrics.requested, guard=self._lead.check, fields=READ_FIELDS
            ) as client,
            # of its own: renewals must not wait behind other requests, nor as long as those may
            Client(
                client.credentials, on_request=self._metrics.requested, request_seconds=terms.request
            ) as lease_client,
            contextlib.AsyncExitStack() as stack,
        ):
            lease = (self._settings.namespace, self._settings.lease)
            election = Election(lease_client, lease, self._identity(), terms, self._lead)
            lists = KopfLists({kind.path(): partial(list_again, client, self._seen, kind) for kind in OWN_KINDS})
            registry = self._kopf_registry(client, lists)
            if await self._unless_stopped(self._start(client, election, lists, stack)):
                await kopf.operator(
                    registry=registry, settings=kopf_settings(), clusterwide=True, standalone=True, stop_flag=self._stop
                )
            log.info("stopping", reason="Stopping")
        if self._failure is not None:
            raise self._failure

    async def _start(
        self, client: Client, election: Election, lists: KopfLists, stack: contextlib.AsyncExitStack
    ) -> None:
        """All but kopf. What it puts on the stack ends in the reverse order: the lead is given away after the last
        write.
        """
        nodes = Reflector[NodeRecord](client, NODES.path(), decode_node, self._seen.nodes)
        pods = Reflector[PodRecord](
            client, PODS.path(), decode_pod, self._seen.pods, params={"labelSelector": names.POD_SELECTOR}
        )
        health = health_server(self._metrics, self._watch_checks(nodes, pods), {"lead": election.trouble})
        await health.start(self._settings.bind_address, self._settings.http_port)
        stack.push_async_callback(health.stop)

        self._metrics.track_lead(lambda: self._lead.held)
        await election.take()
        stack.push_async_callback(election.release)
        stack.push_async_callback(self._end_tasks)
        self._run_beside(election.keep(), "lead")

        ca_certificate = await self._serve_progress(client, stack)
        self._measure(nodes, pods)
        self._run_beside(nodes.run(), "nodes")
        await nodes.synced.wait()  # before the pods: a node's change looks at every pod that is known
        self._run_beside(pods.run(), "pods")
        with _few_collections():
            await self._list_own_kinds(client, lists, pods)
        reconciler = Reconciler(
            client,
            self._seen,
            self._settings,
            self._settings.rules(ca_certificate),
            self._metrics,
            self._scheduler,
            self._now,
        )
        self._run_beside(run_workers(self._queue, self._settings.workers, reconciler, reconciler.failed), WORKERS)
        self._run_beside(audit.run(client, self._seen, self._queue, self._settings.audit_interval_seconds), "audit")
        self._run_beside(audit.grow_older(self._seen), "age")
        log.info("started", reason="Started", version=__version__, workers=self._settings.workers)

    async def _list_own_kinds(self, client: Client, lists: KopfLists, pods: Reflector[PodRecord]) -> None:
        """While the pods are listed; kept after them, since which jobs are looked at first depends on their pods."""
        fetches = (
            self._until_it_works(f"list {kind.plural}", partial(fetch, client, self._seen, kind)) for kind in OWN_KINDS
        )
        listings = await asyncio.gather(*fetches)
        await pods.synced.wait()
        for kind, listing in zip(OWN_KINDS, listings, strict=True):
            lists.begin(kind.path(), keep(self._seen, kind, listing))

    @property
    def _terms(self) -> Terms:
        chosen = self._settings
        return Terms(chosen.lease_seconds, chosen.lease_deadline_seconds, chosen.lease_retry_seconds)

    def _identity(self) -> str:
        """A pod's, so that its next container knows its own Lease (the one before is dead); else this process'."""
        return f"{self._settings.pod_name}_{self._settings.pod_uid or uuid.uuid4()}"

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work came to its end; a stop cancels it. Raises what it raises."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return False
        working.result()
        return not self._stop.is_set()

    async def _serve_progress(self, client: Client, stack: contextlib.AsyncExitStack) -> str:
        """-> the PEM of the endpoint's authority; empty where no reports are taken."""
        if not self._settings.progress_url:
            return ""
        receiver = ProgressReceiver(client, self._settings, self._seen, self._queue, self._metrics)
        ca_certificate = await self._until_it_works("start the progress endpoint", receiver.start)
        stack.push_async_callback(receiver.stop)
        self._run_beside(receiver.certificate.renew_forever(), "certificate")
        chosen = self._settings
        if chosen.progress_service and chosen.pod_ip:
            backend = Backend(chosen.namespace, chosen.pod_name, chosen.pod_uid, chosen.pod_ip, chosen.progress_port)
            endpoints = ProgressEndpoints(client, chosen.progress_service, backend)
            await self._until_it_works("write the EndpointSlice", endpoints.publish)
            self._run_beside(endpoints.keep(), "endpoint slice")
        return ca_certificate

    def _kopf_registry(self, client: Client, lists: KopfLists) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        register(registry, self._seen, self._queue)

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.AiohttpSession:
            return await login(self._trace, lists, client.credentials)

        @kopf.on.cleanup(registry=registry)
        async def drain(**_: Any) -> None:
            # here, since kopf cancels all tasks that began after it did, our workers too, right after its cleanup
            await self._end_tasks()

        return registry

    def _watch_checks(self, nodes: Reflector[NodeRecord], pods: Reflector[PodRecord]) -> dict[str, Check]:
        """One who waits for the lead has no watches, and is ready without."""

        def kopf_watch(path: str) -> Check:
            return lambda: self._trace.trouble(path)

        def once_leading(check: Check) -> Check:
            return lambda: check() if self._lead.taken else None

        watches = {"nodes": nodes.trouble, "pods": pods.trouble}
        watches |= {resource.plural: kopf_watch(resource.path()) for resource in OWN_KINDS}
        return {f"watch {resource}": once_leading(check) for resource, check in watches.items()}

    def _measure(self, nodes: Reflector[NodeRecord], pods: Reflector[PodRecord]) -> None:
        self._metrics.track_queue(self._queue)
        self._metrics.track_watch(nodes)
        self._metrics.track_watch(pods)
        for resource in OWN_KINDS:
            self._metrics.track_watch(self._trace.watch(resource.plural, resource.path()))
        self._metrics.track_jobs(lambda: Counter(str(job.status.status or "NEW") for job in self._seen.jobs.values()))

    def _run_beside(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """What runs until the end. Where it ends before that, so does the process: a part of it is no operator."""

        def ended(task: asyncio.Task[Any]) -> None:
            if not task.cancelled() and not self._stop.is_set():
                self._failure = task.exception() or RuntimeError(f"{name} ended")
                self._stop.set()

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        self._tasks.append(task)

    async def _end_tasks(self) -> None:
        """Lets the passes in hand end, then ends everything; a second call finds nothing to do."""
        if not self._queue.is_shut_down:
            asyncio.get_running_loop().call_later(EXIT_SECONDS, _end_for_sure)
        self._stop.set()
        self._queue.shut_down()
        workers = [task for task in self._tasks if task.get_name() == WORKERS]
        if workers:
            await asyncio.wait(workers, timeout=DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _until_it_works(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Start-up waits for the API server, and says what it waits for."""
        while True:
            try:
                return await work()
            except ApiError as error:
                log.warning(f"cannot {what} yet", reason=type(error).__name__, error=str(error))
                await asyncio.sleep(error.retry_after or RETRY_SECONDS)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """What is listed stays, and no cycle is in it: looking for some takes as long as reading it, and half a second once
    more when all is there. So it is set aside, until memory is given back (handlers.memory)."""
    thresholds = gc.get_threshold()
    gc.set_threshold(MANY_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*thresholds)


def _end_for_sure() -> None:
    """kopf may never return where one of its watches has failed: another one swallows its cancellation, and waits for
    new credentials for ever. The process would live on, and work on nothing.
    """
    log.critical("the process does not end by itself: ending it", reason="Stopping", seconds=EXIT_SECONDS)
    logging.shutdown()
    os._exit(1)
