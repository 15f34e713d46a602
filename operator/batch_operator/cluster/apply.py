"""Writes only: a Plan becomes API calls, in the plan's order. It knows how, never whether.

Status goes first with the resourceVersion that was read, so that a stale or deleted job makes no pod and ends none;
only the ConfigMap goes out beside it (ADR 0004). Creates are POSTs of deterministic names, where "exists already" means
a look at the owner's uid; deletes carry the uid (design section 5, "Never a duplicate pod").
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from batch_operator.api import names
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.api.words import shortened, within_bytes
from batch_operator.cluster import merge_patch
from batch_operator.cluster.client import Client, Object
from batch_operator.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, EVENTS, PODS
from batch_operator.policies import refusal as refusals
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.reconcile.status_write import as_written
from batch_operator.resources.configmap import job_file
from batch_operator.snapshot import Refusal, decode_pod

MAX_BATCH = 32
NOTE_BYTES = 1024  # the API server refuses an Event with a longer note
NOT_FINAL = frozenset({401, 404, 409, 429})
"""4xx codes of a create that are no judgement on the object."""

log = structlog.get_logger(__name__)


class NameTaken(Exception):
    """A pod's name belongs to one that is not ours; str() says which."""


async def apply(client: Client, seen: Observations, job: BatchJob, plan: Plan, now: datetime, reporter: str) -> bool:
    """-> whether the job must be looked at again at once, because a child was refused.

    Raises ApiError at the first write that fails; the next pass starts from what is then there.
    """
    if plan.delete_job:
        await _delete_job(client, job)
        return False
    if plan.expired or plan.expired_configmap or ((plan.deletes or plan.pods) and plan.status is None):
        await _refuse_if_stale(client, seen, job)
    if plan.expired:
        await asyncio.gather(*(_delete(client, seen, job.namespace, delete) for delete in plan.expired))
    if plan.expired_configmap:
        await _delete_configmap(client, job)
    refused = await _write_status_and_configmap(client, seen, job, plan)
    if plan.deletes:
        await asyncio.gather(*(_delete(client, seen, job.namespace, delete) for delete in plan.deletes))
    try:
        if plan.configmap is not None:
            assert plan.job_file is not None, "what it holds"
            if refused is not None:
                await _settle_configmap(client, job, plan.configmap, plan.job_file.sha256, refused)
            seen.keep_job_file(job.uid, plan.job_file)
        await _create_pods(client, seen, job, plan.pods)
    except (ApiError, NameTaken) as error:
        if isinstance(error, ApiError) and (not 400 <= error.status < 500 or error.status in NOT_FINAL):
            raise
        _remember_refusal(seen, job, error, now)
        return True
    if plan.pods or plan.configmap is not None:
        seen.refusals.pop(job.uid, None)
    if plan.event is not None:
        await _tell(client, job, plan.event, now, reporter)
    return False


async def _write_status_and_configmap(client: Client, seen: Observations, job: BatchJob, plan: Plan) -> ApiError | None:
    """Both at once, since the ConfigMap permits nothing. -> why the API server did not take the ConfigMap, which is
    settled once the status is written; raises what the status raises."""
    writes = [_write_status(client, seen, job, plan)] if plan.status is not None else []
    posts = [client.create(CONFIG_MAPS.path(job.namespace), plan.configmap)] if plan.configmap is not None else []
    done = await asyncio.gather(*writes, *posts, return_exceptions=True)  # neither outlives the pass
    for outcome in done[: len(writes)]:
        if isinstance(outcome, BaseException):
            raise outcome
    for outcome in done[len(writes) :]:
        if isinstance(outcome, ApiError):
            return outcome
        if isinstance(outcome, BaseException):
            raise outcome
    return None


async def _write_status(client: Client, seen: Observations, job: BatchJob, plan: Plan) -> None:
    assert plan.status is not None, "only called with one"
    patch = merge_patch.difference(as_written(job.status), as_written(plan.status))
    body = {"metadata": {"resourceVersion": job.resource_version}, "status": patch}
    try:
        answer = await client.patch_status(BATCH_JOBS.path(job.namespace, job.name), body)
    except NotFound:  # deleted in a gap of the watch: kopf would not tell, and the audit only later
        if await _is_gone(client, BATCH_JOBS.path(job.namespace, job.name), job.uid):
            seen.jobs.apply("DELETED", job)
        raise
    except Conflict:  # asked for now: a view that waits for a watch that has lost the news would conflict again
        with contextlib.suppress(ApiError):
            seen.jobs.apply(None, decode_job(await client.get(BATCH_JOBS.path(job.namespace, job.name)), job))
        raise
    seen.jobs.observe(decode_job(answer, job))


async def _refuse_if_stale(client: Client, seen: Observations, job: BatchJob) -> None:
    """Pods that are made or ended without a word in status before rest on a view that nothing has checked: an operator
    that was stopped, or that was given an old list, would do so for a job that has gone on without it."""
    found = decode_job(await client.get(BATCH_JOBS.path(job.namespace, job.name)), job)
    if (found.uid, found.resource_version) != (job.uid, job.resource_version):
        seen.jobs.apply(None, found)
        raise Conflict(409, "Conflict", f"BatchJob {job.namespace}/{job.name} has moved on since it was read")


async def _delete(client: Client, seen: Observations, namespace: str, delete: PodDelete) -> None:
    try:
        answer = await client.delete(
            PODS.path(namespace, delete.name), uid=delete.uid, grace_seconds=delete.grace_seconds
        )
    except (NotFound, Conflict):  # gone, or the name is another pod's by now
        if not await _is_gone(client, PODS.path(namespace, delete.name), delete.uid):
            raise
        return
    if answer.get("kind") == "Pod":
        seen.pods.observe(decode_pod(answer))


async def _delete_job(client: Client, job: BatchJob) -> None:
    """Exactly as it was read: a request to retry that came meanwhile is a Conflict, and counts."""
    path = BATCH_JOBS.path(job.namespace, job.name)
    log.info("deleting", namespace=job.namespace, name=job.name, reason="Expired")
    try:
        await client.delete(path, uid=job.uid, resource_version=job.resource_version)
    except NotFound:
        if not await _is_gone(client, path, job.uid):
            raise


async def _delete_configmap(client: Client, job: BatchJob) -> None:
    path = CONFIG_MAPS.path(job.namespace, names.configmap_name(job.name, job.uid))
    try:
        found = await client.get(path)
    except NotFound:
        return
    if not _is_ours(found, job):
        return
    try:
        await client.delete(path, uid=found["metadata"]["uid"])
    except (NotFound, Conflict):
        if not await _is_gone(client, path, found["metadata"]["uid"]):
            raise


async def _settle_configmap(client: Client, job: BatchJob, manifest: Object, sha256: str, refused: ApiError) -> None:
    """Where there is one already: ours with the right content, or replaced by it. What somebody else put there is never
    used, nor what was made for a status that was not written. Raises `refused` where it is something else."""
    if not isinstance(refused, AlreadyExists):
        raise refused
    path = CONFIG_MAPS.path(job.namespace, manifest["metadata"]["name"])
    found = await client.get(path)
    content = job_file(found)
    ours = _is_ours(found, job)
    if ours and content is not None and content.sha256 == sha256:
        return
    log.warning(
        "replacing a ConfigMap that does not hold what status says",
        namespace=job.namespace,
        name=manifest["metadata"]["name"],
        reason="Superseded" if ours else "NotOurs",
    )
    await client.delete(path, uid=found["metadata"]["uid"])
    await client.create(CONFIG_MAPS.path(job.namespace), manifest)


async def _create_pods(client: Client, seen: Observations, job: BatchJob, manifests: Sequence[Object]) -> None:
    """In batches of 1, 2, 4 …: where the first is refused, the others are not even tried (as batch/v1 Job
    does).
    """
    size, start = 1, 0
    while start < len(manifests):
        batch = manifests[start : start + size]
        answers = await asyncio.gather(*(_create_pod(client, job, m) for m in batch), return_exceptions=True)
        for answer in answers:
            if not isinstance(answer, BaseException):
                seen.pods.observe(decode_pod(answer))
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        start, size = start + len(batch), min(size * 2, MAX_BATCH)


async def _create_pod(client: Client, job: BatchJob, manifest: Object) -> Object:
    try:
        return await client.create(PODS.path(job.namespace), manifest)
    except AlreadyExists:
        found = await client.get(PODS.path(job.namespace, manifest["metadata"]["name"]))
        if _is_ours(found, job):
            return found
        raise NameTaken(
            f"pod {job.namespace}/{manifest['metadata']['name']} exists and is not this job's; delete or rename it"
        ) from None


async def _is_gone(client: Client, path: str, uid: str) -> bool:
    """Asked again before anything is built on it: what stands between us and the server says "not found" too."""
    try:
        found = await client.get(path)
    except NotFound:
        return True
    return bool(found["metadata"]["uid"] != uid)


def _is_ours(found: Object, job: BatchJob) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["uid"] == job.uid for owner in owners)


def _remember_refusal(seen: Observations, job: BatchJob, refused: Exception, now: datetime) -> None:
    """What a refusal means is for the next pass to decide."""
    words = shortened(str(refused))
    log.warning("refused", namespace=job.namespace, name=job.name, reason=type(refused).__name__, words=words)
    if not seen.is_living(job.uid):
        return
    kind = refusals.QUOTA if "exceeded quota" in words else type(refused).__name__
    known = seen.refusals.get(job.uid)
    first = Refusal(kind, words, now)
    seen.refusals[job.uid] = replace(first, times=known.times + 1) if known and known.kind == kind else first


async def _tell(client: Client, job: BatchJob, event: Event, now: datetime, reporter: str) -> None:
    """An Event says again what status says; that it cannot be written changes nothing."""
    identity = f"{job.uid}/{event.reason}/{event.message}/{now.isoformat()}"
    manifest: dict[str, Any] = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{job.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": job.namespace,
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{names.GROUP}/batch-operator",
        "reportingInstance": reporter,
        "action": "Reconcile",
        "reason": event.reason,
        "note": within_bytes(event.message, NOTE_BYTES),
        "type": event.type,
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": "BatchJob",
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
        },
    }
    try:
        await client.create(EVENTS.path(job.namespace), manifest)
    except AlreadyExists:
        return
    except ApiError as error:
        log.warning("event not written", namespace=job.namespace, name=job.name, reason=event.reason, error=str(error))
