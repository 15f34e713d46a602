"""Looks now and then for what a watch may have lost: objects deleted in a gap that ended in a relist.

kopf tells of the living objects of a relist only, so that a deleted one would stay for ever (docs/adr/0002).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from batch_operator.cluster.client import Listing, Object
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, PIPELINES
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.watches import Key
from batch_operator.snapshot import decode_pipeline

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Lister(Protocol):
    """The part of cluster.client that an audit needs."""

    async def list_as(self, path: str, decode: Callable[[Object], T]) -> Listing[T]: ...
    async def list_uids(self, path: str) -> Listing[str]: ...


async def list_registry(client: Lister, seen: Observations) -> None:
    """The registry as it is now. Raises ApiError."""
    for resource, store in ((PIPELINES, seen.pipelines), (CLUSTER_PIPELINES, seen.cluster_pipelines)):
        listing = await client.list_as(resource.path(), decode_pipeline)
        for record in listing.items:
            store.apply(None, record)
        store.expire({record.uid for record in listing.items}, listing.resource_version)


async def expire_jobs(client: Lister, seen: Observations) -> None:
    """Forgets jobs that are gone. Raises ApiError."""
    listing = await client.list_uids(BATCH_JOBS.path())
    alive = set(listing.items)
    for owner in seen.pods.owners():
        if owner not in alive and seen.jobs.get(owner) is None:
            seen.forget_job(owner)  # deleted while the operator was down: nobody else tells of it
    if lost := seen.jobs.expire(alive, listing.resource_version):
        log.warning("jobs were gone that no watch had told of", count=lost, reason="Audit")


async def run(client: Lister, seen: Observations, queue: WorkQueue[Key], interval_seconds: float) -> None:
    """For ever; a failed round is logged and the next one comes. Every living job is looked at again, too."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await list_registry(client, seen)
            await expire_jobs(client, seen)
            for job in seen.jobs.values():
                if seen.is_living(job.uid):
                    queue.add((job.namespace, job.name))
        except ApiError as error:
            log.warning("audit failed", reason="Audit", error=str(error))
