"""Reads only: all that is known of one job, as a frozen snapshot. Called before each reconcile.

Everything comes from the stores; the API server is asked for a job's ConfigMap where the job has no pod, or before this
process makes its first one of it, once per namespace for its organization, and for a pod that status says was there and
no store has: only the server's own word makes it a lost one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from batch_operator.api import names
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.client import Listing, Object
from batch_operator.cluster.errors import Forbidden, NotFound
from batch_operator.cluster.observations import NamespaceLabels, Observations
from batch_operator.cluster.resource_paths import CONFIG_MAPS, NAMESPACES, NODES, PODS, PRIORITY_CLASSES
from batch_operator.policies import node_loss, pod_start
from batch_operator.reconcile import queue_entry, rounds
from batch_operator.resources.configmap import job_file
from batch_operator.scheduling import turns
from batch_operator.snapshot import JobSnapshot, NodeRecord, PodRecord, RuleSettings, Turn, decode_node, decode_pod

LOOK_AGAIN = timedelta(seconds=30)
_CLASS_NAME = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""Of what else the API server would make of it in a URL, nothing is a PriorityClass."""
LABELS_AGE = timedelta(minutes=1)
"""A namespace's labels are read again after so long."""


class Reader(Protocol):
    """The part of cluster.client that gather needs."""

    async def get(self, path: str) -> Object: ...
    async def list_as(
        self, path: str, decode: Callable[[Object], NodeRecord], params: Mapping[str, str] | None = None
    ) -> Listing[NodeRecord]: ...


async def job_snapshot(
    client: Reader,
    seen: Observations,
    job: BatchJob,
    rules: RuleSettings,
    now: datetime,
    *,
    org_labels: bool,
    namespace_labels: bool = False,
) -> JobSnapshot:
    """Raises ApiError where a read fails; the key is then tried again."""
    await _ask_for_vanished_pods(client, seen, job)
    waits = queue_entry.is_new_or_waiting(job.status)
    labels = await _read_namespace(client, seen, job, now, for_kueue=namespace_labels and waits)
    pods = tuple([await _with_node(client, seen, pod, now) for pod in seen.pods.by_owner(job.uid)])
    needs_file = _needs_job_file(job)
    unread = needs_file and seen.job_files.is_unread(job.uid)
    snapshot = JobSnapshot(
        pods=pods,
        reports={pod.uid: seen.reports[pod.uid] for pod in pods if pod.uid in seen.reports},
        pipelines=seen.registry(job.namespace, job.spec.pipeline_key),
        job_file=seen.job_files.get(job.uid),
        job_file_unread=unread,
        org_id=await _org_id(client, seen, job.namespace) if org_labels else job.namespace,
        namespace_labels=labels,
        refusal=seen.refusals.get(job.uid),
        priority=await _priority(client, seen, job),
        turn=turn(seen, job),
        displaced=seen.displaced.get(job.uid),
        settings=rules,
    )
    may_lack_it = unread and not pods  # pods are made after the ConfigMap: where one is, it was stored
    if may_lack_it or (needs_file and _may_have_lost_it(seen, job, pods, now)):
        return await with_job_file(client, seen, job, snapshot, now)
    return snapshot


async def with_job_file(
    client: Reader, seen: Observations, job: BatchJob, snapshot: JobSnapshot, now: datetime
) -> JobSnapshot:
    """The snapshot, with what the job's ConfigMap holds now. Raises ApiError."""
    seen.job_files.look_again(job.uid, now)
    file = await _read_job_file(client, job)
    if file is not None:
        seen.keep_job_file(job.uid, file)
    return replace(snapshot, job_file=file, job_file_unread=False)


async def _ask_for_vanished_pods(client: Reader, seen: Observations, job: BatchJob) -> None:
    """Pods that were deleted while no operator watched, as deleted copies into the store."""
    ledger = job.status.ledger
    if ledger is None or ledger.stopping is not None or job.status.has_ended or queue_entry.is_waiting(job.status):
        return
    known = rounds.read(ledger.components)
    there = rounds.current_pods(seen.pods.by_owner(job.uid), known)
    for component, index in ((name, i) for name, r in known.items() for i in r.observed - r.succeeded):
        if (component, index) in there:
            continue
        attempt = known[component].attempt_of(index)
        name = names.pod_name(job.name, job.uid, component, index, attempt)
        raw = await _asked_twice(client, PODS.path(job.namespace, name))
        found = decode_pod(raw) if raw is not None else None
        if found is None or found.owner_uid != job.uid:
            seen.pods.remember_deleted(_vanished(job, name, component, index, attempt))
        else:
            seen.pods.observe(found)


async def _asked_twice(client: Reader, path: str) -> Object | None:
    """The object; None only after two answers, for what stands between us and the server says "not found" too."""
    for _ in range(2):
        with suppress(NotFound):
            return await client.get(path)
    return None


def _vanished(job: BatchJob, name: str, component: str, index: int, attempt: int) -> PodRecord:
    """What is left to say of it. The uid is ours: nobody knows its own any more."""
    return PodRecord(
        namespace=job.namespace,
        name=name,
        uid=f"vanished/{job.uid}/{name}",
        resource_version=job.resource_version,
        owner_uid=job.uid,
        job_name=job.name,
        component=component,
        index=index,
        attempt=attempt,
        started_at=job.status.started_at,
        deleted=True,
    )


async def _with_node(client: Reader, seen: Observations, pod: PodRecord, now: datetime) -> PodRecord:
    """The pod, with what is known of its node. Before a node counts as gone the server itself is asked: a watch may be
    silent for longer than the quarantine.
    """
    if not pod.node or not pod.is_live:
        return pod
    node = seen.nodes.get_by_name("", pod.node)
    missing_for = timedelta()
    if node is None:
        missing_for = now - seen.nodes_missed_since.setdefault(pod.uid, now)
    else:
        seen.nodes_missed_since.pop(pod.uid, None)
        seen.nodes_gone.discard(pod.node)
    gone = node_loss.is_gone(pod, node, missing_for)
    if gone and node is None and pod.node not in seen.nodes_gone:
        node = await _ask_for_node(client, seen, pod.node)
        gone = node_loss.is_gone(pod, node, missing_for)
    if gone:
        seen.pods_given_up.add(pod.uid)
    else:
        seen.pods_given_up.discard(pod.uid)
    unready = node is None or not node.ready
    return replace(pod, node_gone=gone, node_unready=unready) if gone or unready else pod


async def _ask_for_node(client: Reader, seen: Observations, name: str) -> NodeRecord | None:
    found = await client.list_as(NODES.path(), decode_node, {"fieldSelector": f"metadata.name={name}"})
    for node in found.items:
        seen.nodes.observe(node)
        return node
    seen.nodes_gone.add(name)
    return None


def _needs_job_file(job: BatchJob) -> bool:
    status = job.status
    return not status.has_ended and status.ledger is not None and status.ledger.spec_hash is not None


def _may_have_lost_it(seen: Observations, job: BatchJob, pods: Sequence[PodRecord], now: datetime) -> bool:
    """A pod that has its node and does not start may wait for a ConfigMap that somebody deleted."""
    read = seen.job_files.read_at(job.uid)
    if read is not None and now - read < LOOK_AGAIN:
        return False
    return any(pod_start.is_stuck(pod, now) for pod in pods)


async def _read_job_file(client: Reader, job: BatchJob) -> JobFile | None:
    """What is there; None where it is not what the ledger says."""
    path = CONFIG_MAPS.path(job.namespace, names.configmap_name(job.name, job.uid))
    manifest = await _asked_twice(client, path)
    file = job_file(manifest) if manifest is not None else None
    expected = job.status.ledger.spec_hash if job.status.ledger else None
    return file if file is not None and file.sha256 == expected else None


def turn(seen: Observations, job: BatchJob) -> Turn | None:
    """What the job's queue decided of it last; of memory alone."""
    granted = seen.granted.get(job.uid)
    if granted is not None and granted.queue == job.spec.queue:
        return Turn(is_granted=True, shape=granted.shape)
    return turns.of(seen.decisions, job.uid, job.spec.queue, tell=job.uid in seen.telling)


async def _priority(client: Reader, seen: Observations, job: BatchJob) -> int:
    """Asked for while it can still count. Of a class that is not there, 0: the job's pods are refused for it."""
    name, status = job.spec.priority_class_name, job.status
    if not name or not _CLASS_NAME.fullmatch(name) or status.has_ended or not queue_entry.is_new_or_waiting(status):
        return 0
    if name not in seen.priorities:
        try:
            seen.priorities[name] = int((await client.get(PRIORITY_CLASSES.path(name=name)))["value"])
        except (NotFound, Forbidden):
            return 0
    return seen.priorities[name]


async def _read_namespace(
    client: Reader, seen: Observations, job: BatchJob, now: datetime, *, for_kueue: bool
) -> Mapping[str, str] | None:
    """The labels of the job's namespace, where its queue asks for them, or Kueue's count; None: nobody reads them."""
    queue = seen.queues.get_by_name("", job.spec.queue)
    selects = queue is not None and queue.asks_for_labels
    if job.status.has_ended or not (selects or for_kueue):
        return None
    known = seen.namespace_labels.get(job.namespace)
    if known is not None and now - known.read_at < LABELS_AGE:
        return known.labels if for_kueue else None
    try:
        labels = (await client.get(NAMESPACES.path(name=job.namespace)))["metadata"].get("labels") or {}
    except (NotFound, Forbidden):
        labels = None
    seen.namespace_labels[job.namespace] = NamespaceLabels(labels, now)
    return labels if for_kueue else None


async def _org_id(client: Reader, seen: Observations, namespace: str) -> str:
    """The namespace's label, else its name; read once, since it must not change within a job's life."""
    if namespace not in seen.org_ids:
        try:
            labels = (await client.get(NAMESPACES.path(name=namespace)))["metadata"].get("labels") or {}
        except (NotFound, Forbidden):
            return namespace
        seen.org_ids[namespace] = labels.get(names.ORG_ID_LABEL) or namespace
    return seen.org_ids[namespace]
