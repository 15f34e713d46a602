"""Our own kinds: how each is read, where it is stored, and whole consistent lists of it; kopf's watches go on from
there.

Called by handlers.lifecycle before anything is decided, by handlers.kopf_lists where a watch has expired, and by
handlers.audit.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from batch_operator.api.v1alpha1.batch_queue import decode_queue
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.client import Listing, Object
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, PIPELINES, QUEUES, Resource
from batch_operator.cluster.store import RecordStore
from batch_operator.reconcile import left_undone
from batch_operator.snapshot import decode_pipeline

T = TypeVar("T")
REGISTRY_AND_QUEUES = (PIPELINES, CLUSTER_PIPELINES, QUEUES)
OWN_KINDS = (*REGISTRY_AND_QUEUES, BATCH_JOBS)
log = structlog.get_logger(__name__)


class Reader(Protocol):
    """The part of cluster.client that a list needs."""

    async def list_as(self, path: str, decode: Callable[[Object], T]) -> Listing[T]: ...


def decoder(seen: Observations, kind: Resource) -> Callable[[Object], Any]:
    """Of an object as the API server sends it; of a job that is known only what has changed is read."""
    if kind == BATCH_JOBS:
        return lambda raw: decode_job(raw, seen.jobs.get(raw["metadata"]["uid"]))
    return decode_queue if kind == QUEUES else decode_pipeline


def store_of(seen: Observations, kind: Resource) -> RecordStore[Any]:
    stores: dict[Resource, RecordStore[Any]] = {
        PIPELINES: seen.pipelines,
        CLUSTER_PIPELINES: seen.cluster_pipelines,
        QUEUES: seen.queues,
        BATCH_JOBS: seen.jobs,
    }
    return stores[kind]


async def fetch(client: Reader, seen: Observations, kind: Resource) -> Listing[Any]:
    """All of one of our kinds as it is now; nothing is stored yet. Raises ApiError."""
    return await client.list_as(kind.path(), decoder(seen, kind))


def keep(seen: Observations, kind: Resource, listing: Listing[Any]) -> str:
    """-> the version of the list. Jobs that something is likely to be left undone for come first, since in this order
    they come to the queue: their pods should be known by then."""

    def is_at_rest(job: BatchJob) -> bool:
        return not left_undone.is_likely(job, seen.pods.by_owner(job.uid))

    records = sorted(listing.items, key=is_at_rest) if kind == BATCH_JOBS else listing.items
    store_of(seen, kind).replace(records, listing.resource_version)
    log.info("listed", resource=kind.plural, objects=len(records), version=listing.resource_version, reason="Listed")
    return listing.resource_version


async def list_again(client: Reader, seen: Observations, kind: Resource) -> str:
    """Raises ApiError."""
    return keep(seen, kind, await fetch(client, seen, kind))
