"""Writes a Queue's status. Called by handlers.reconciler."""

from batch_operator.api.v1alpha1.batch_queue import QueueRecord, QueueStatus, decode_queue
from batch_operator.cluster import merge_patch
from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import ApiError, Conflict, NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import QUEUES


async def write_queue_status(client: Client, seen: Observations, queue: QueueRecord, status: QueueStatus) -> None:
    """As a difference to the version that was read. Raises ApiError."""
    before = queue.status.model_dump(mode="json", exclude_none=True)
    patch = merge_patch.difference(before, status.model_dump(mode="json", exclude_none=True))
    body = {"metadata": {"resourceVersion": queue.resource_version}, "status": patch}
    try:
        answer = await client.patch_status(QUEUES.path(name=queue.name), body)
    except (Conflict, NotFound):  # a view that waits for a watch that has lost the news would be refused again
        await _look_again(client, seen, queue)
        raise
    seen.queues.observe(decode_queue(answer))


async def _look_again(client: Client, seen: Observations, queue: QueueRecord) -> None:
    try:
        found = decode_queue(await client.get(QUEUES.path(name=queue.name)))
    except NotFound:
        seen.queues.apply("DELETED", queue)
    except ApiError:
        return
    else:
        if found.uid != queue.uid:
            seen.queues.apply("DELETED", queue)
        seen.queues.apply(None, found)
