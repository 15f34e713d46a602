"""Looks now and then for what the watches may have lost: objects deleted in a gap, and events that never came.

No event may be lost on the way, but a pod's end that is lost would hold its job for ever: so what is there is compared
by version, at the price of one list of metadata a round. And the age of the stores, which let go what they remember of
the dead.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from batch_operator.api import names
from batch_operator.cluster.client import Identity, Listing, Object, Params
from batch_operator.cluster.errors import ApiError, NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, NODES, PODS, Resource
from batch_operator.cluster.store import AGE_SECONDS, RecordStore, is_newer
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.handlers.memory import Memory, give_back
from batch_operator.handlers.own_kinds import REGISTRY_AND_QUEUES, decoder, fetch, store_of
from batch_operator.snapshot import decode_node, decode_pod

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Reader(Protocol):
    """The part of cluster.client that an audit needs."""

    async def get(self, path: str) -> Object: ...
    async def list_as(self, path: str, decode: Callable[[Object], T]) -> Listing[T]: ...
    async def list_identities(self, path: str, params: Params | None = None) -> Listing[Identity]: ...


async def find_jobs(client: Reader, seen: Observations) -> None:
    """Forgets jobs that are gone, reads those that have moved on unheard. Raises ApiError."""
    listing = await client.list_identities(BATCH_JOBS.path())
    alive = {found.uid for found in listing.items}
    for owner in seen.pods.owners():
        if owner not in alive and seen.jobs.get(owner) is None:
            seen.forget_job(owner)  # deleted while the operator was down: nobody else tells of it
    await _catch_up(client, BATCH_JOBS, listing, decoder(seen, BATCH_JOBS), seen.jobs)


async def find_pods(client: Reader, seen: Observations) -> None:
    """As find_jobs. Raises ApiError."""
    listing = await client.list_identities(PODS.path(), {"labelSelector": names.POD_SELECTOR})
    await _catch_up(client, PODS, listing, decode_pod, seen.pods)


async def round_of_all(client: Reader, seen: Observations, queue: WorkQueue[Key]) -> None:
    """Everything once, and then a look at every living job. Raises ApiError."""
    for kind in REGISTRY_AND_QUEUES:
        _bring_up_to_date(store_of(seen, kind), await fetch(client, seen, kind))
    _bring_up_to_date(seen.nodes, await client.list_as(NODES.path(), decode_node))
    await find_pods(client, seen)
    await find_jobs(client, seen)
    for job in seen.jobs.values():
        if seen.is_living(job.uid):
            queue.add((job.namespace, job.name))


async def run(client: Reader, seen: Observations, queue: WorkQueue[Key], interval_seconds: float) -> None:
    """For ever; a failed round is logged and the next one comes."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await round_of_all(client, seen, queue)
        except ApiError as error:
            log.warning("audit failed", reason="Audit", error=str(error))


async def grow_older(seen: Observations) -> None:
    """For ever: the stores let go what they remember of the dead, and the process the memory that this took."""
    memory = Memory()
    while True:
        await asyncio.sleep(AGE_SECONDS)
        seen.grow_older()
        if memory.is_worth_giving_back(seen.living, seen.dead):
            began = time.monotonic()
            give_back()
            log.info("memory given back", reason="Trimmed", seconds=round(time.monotonic() - began, 3))


def _bring_up_to_date(store: RecordStore[Any], listing: Listing[Any]) -> None:
    for record in listing.items:
        store.apply(None, record)
    store.expire({record.uid for record in listing.items}, listing.resource_version)


async def _catch_up(
    client: Reader,
    resource: Resource,
    listing: Listing[Identity],
    decode: Callable[[Object], Any],
    store: RecordStore[Any],
) -> None:
    """A watch that is merely behind is read ahead of: what it then tells is no news any more."""
    if lost := store.expire({found.uid for found in listing.items}, listing.resource_version):
        log.warning("objects were gone that no watch had told of", resource=resource.plural, count=lost, reason="Audit")
    for found in listing.items:
        known = store.get(found.uid)
        if known is not None and not is_newer(found.resource_version, known.resource_version):
            continue
        try:
            store.apply(None, decode(await client.get(resource.path(found.namespace, found.name))))
        except NotFound:
            continue
