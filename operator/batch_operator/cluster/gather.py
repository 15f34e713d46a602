"""Reads only: all that is known of one job, as a frozen snapshot. Called before each reconcile.

Everything comes from the stores; the API server is asked once per job and process for the job's ConfigMap,
and once per namespace for its organization.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from batch_operator.api import names
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import Forbidden, NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import CONFIG_MAPS, NAMESPACES
from batch_operator.policies import pod_start
from batch_operator.resources.configmap import job_file
from batch_operator.snapshot import JobSnapshot, PodRecord, RuleSettings

LOOK_AGAIN = timedelta(seconds=30)


class Reader(Protocol):
    """The part of cluster.client that gather needs."""

    async def get(self, path: str) -> Object: ...


async def job_snapshot(
    client: Reader, seen: Observations, job: BatchJob, rules: RuleSettings, now: datetime, *, org_labels: bool
) -> JobSnapshot:
    """Raises ApiError where a read fails; the key is then tried again."""
    pods = seen.pods.by_owner(job.uid)
    if _needs_job_file(job) and (job.uid not in seen.job_files or _may_have_lost_it(seen, job, pods, now)):
        seen.job_files.pop(job.uid, None)
        seen.job_files_read[job.uid] = now
        await _read_job_file(client, seen, job)
    return JobSnapshot(
        pods=pods,
        reports={pod.uid: seen.reports[pod.uid] for pod in pods if pod.uid in seen.reports},
        slow_since=_slow_since(seen, pods, now),
        pipelines=seen.registry(job.namespace, job.spec.pipeline_key),
        job_file=seen.job_files.get(job.uid),
        org_id=await _org_id(client, seen, job.namespace) if org_labels else job.namespace,
        refusal=seen.refusals.get(job.uid),
        settings=rules,
    )


def _slow_since(seen: Observations, pods: Sequence[PodRecord], now: datetime) -> dict[str, datetime]:
    """Counted from when it was first seen: how long a pull took before its first failure is nobody's fault. A
    restarted operator counts anew."""
    since: dict[str, datetime] = {}
    for pod in pods:
        if pod_start.is_slow(pod):
            since[pod.uid] = seen.slow_since.setdefault(pod.uid, now)
        else:
            seen.slow_since.pop(pod.uid, None)
    return since


def _needs_job_file(job: BatchJob) -> bool:
    status = job.status
    return not status.has_ended and status.ledger is not None and status.ledger.spec_hash is not None


def _may_have_lost_it(seen: Observations, job: BatchJob, pods: Sequence[PodRecord], now: datetime) -> bool:
    """A pod that has its node and does not start may wait for a ConfigMap that somebody deleted."""
    read = seen.job_files_read.get(job.uid)
    if read is not None and now - read < LOOK_AGAIN:
        return False
    return any(pod_start.is_stuck(pod, now) for pod in pods)


async def _read_job_file(client: Reader, seen: Observations, job: BatchJob) -> None:
    try:
        manifest = await client.get(CONFIG_MAPS.path(job.namespace, names.configmap_name(job.name, job.uid)))
    except NotFound:
        return
    file = job_file(manifest)
    expected = job.status.ledger.spec_hash if job.status.ledger else None
    if file is not None and file.sha256 == expected:
        seen.job_files[job.uid] = file


async def _org_id(client: Reader, seen: Observations, namespace: str) -> str:
    """The namespace's label, else its name; read once, since it must not change within a job's life."""
    if namespace not in seen.org_ids:
        try:
            labels = (await client.get(NAMESPACES.path(name=namespace)))["metadata"].get("labels") or {}
        except (NotFound, Forbidden):
            return namespace
        seen.org_ids[namespace] = labels.get(names.ORG_ID_LABEL) or namespace
    return seen.org_ids[namespace]
