"""kopf's watches of our own kinds. A handler only stores what it is told and enqueues: kopf never retries one.

Also here: which job a change of a pod, of a node or of the registry concerns.
"""

from collections.abc import Mapping
from typing import Any

import kopf

from batch_operator.api import names
from batch_operator.api.v1alpha1.batch_queue import decode_queue
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.policies import pod_news
from batch_operator.policies.pod_news import Haste
from batch_operator.snapshot import NodeRecord, PipelineRecord, PodRecord, decode_pipeline

PROGRESS_SECONDS = 2.0
"""Pods that start and succeed under a running job bring one pass for all that do in such a time; its status may be
written every five seconds."""


def register(registry: kopf.OperatorRegistry, seen: Observations, queue: WorkQueue[Key]) -> None:
    """Connects kopf's events with the stores, and the stores' changes with the queue."""
    _fill_stores(registry, seen)
    _follow_stores(seen, queue)


def _fill_stores(registry: kopf.OperatorRegistry, seen: Observations) -> None:
    @kopf.on.event(names.GROUP, names.VERSION, "batchjobs", registry=registry)
    async def batchjob_event(event: kopf.RawEvent, **_: Any) -> None:
        job_heard(seen, event["type"], event["object"])  # as it came: kopf's views cost more than the reading

    @kopf.on.event(names.GROUP, names.VERSION, "pipelines", registry=registry)
    async def pipeline_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        seen.pipelines.apply(type, decode_pipeline(_plain(body)))

    @kopf.on.event(names.GROUP, names.VERSION, "clusterpipelines", registry=registry)
    async def cluster_pipeline_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        seen.cluster_pipelines.apply(type, decode_pipeline(_plain(body)))

    @kopf.on.event(names.GROUP, names.VERSION, "queues", registry=registry)
    async def queue_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        seen.queues.apply(type, decode_queue({**_plain(body), "status": dict(body.get("status") or {})}))


def job_heard(seen: Observations, change: str | None, raw: Mapping[str, Any]) -> None:
    """A word of the jobs' watch. The echo of our own write was read with its answer, and is not read again."""
    meta = raw["metadata"]
    known = seen.jobs.get(meta["uid"])
    if known is None or known.resource_version != meta["resourceVersion"]:
        known = decode_job(raw, known)
    seen.jobs.apply(change, known)


def _follow_stores(seen: Observations, queue: WorkQueue[Key]) -> None:
    def job_changed(old: BatchJob | None, new: BatchJob | None) -> None:
        job = new or old
        assert job is not None, "a change has an old or a new side"
        if new is None:
            seen.forget_job(job.uid)
        elif not seen.is_living(job.uid):
            seen.finish_job(job.uid)
        else:
            seen.forget_superseded(job)
        queue.add((job.namespace, job.name))

    def pod_changed(old: PodRecord | None, new: PodRecord | None) -> None:
        pod = new or old
        assert pod is not None, "a change has an old or a new side"
        if (new is None or pod.deleted) and not seen.is_living(pod.owner_uid):
            seen.forget_pod(pod.uid)
        if pod.deleted and seen.jobs.get(pod.owner_uid) is not None and not seen.is_living(pod.owner_uid):
            seen.pods.forget(pod.uid)
        elif pod.owner_uid:
            _enqueue_job(seen, queue, old, new)

    def pipeline_changed(old: PipelineRecord | None, new: PipelineRecord | None) -> None:
        keys = {record.key for record in (old, new) if record is not None}
        for job in seen.jobs.values():
            if job.spec.pipeline_key in keys and _waits_for_registry(job):
                queue.add((job.namespace, job.name))

    seen.jobs.subscribe(job_changed)
    seen.pods.subscribe(pod_changed)
    _follow_nodes(seen, queue)
    seen.pipelines.subscribe(pipeline_changed)
    seen.cluster_pipelines.subscribe(pipeline_changed)


def _enqueue_job(seen: Observations, queue: WorkQueue[Key], old: PodRecord | None, new: PodRecord | None) -> None:
    pod = new or old
    assert pod is not None, "a change has an old or a new side"

    def others_live() -> bool:
        return any(other.is_live for other in seen.pods.by_owner(pod.owner_uid) if other.uid != pod.uid)

    haste = pod_news.haste(seen.jobs.get(pod.owner_uid), old, new, others_live)
    if haste is Haste.NOW:
        queue.add((pod.namespace, pod.job_name))
    elif haste is Haste.SOON:
        queue.add_after((pod.namespace, pod.job_name), PROGRESS_SECONDS)


def _follow_nodes(seen: Observations, queue: WorkQueue[Key]) -> None:
    def node_changed(old: NodeRecord | None, new: NodeRecord | None) -> None:
        if _state(old) == _state(new):  # most of what a node has to say is of no concern here
            return
        node = new or old
        assert node is not None, "a change has an old or a new side"
        for pod in seen.pods.values():
            if pod.node == node.name and pod.is_live and pod.owner_uid:
                queue.add((pod.namespace, pod.job_name))

    seen.nodes.subscribe(node_changed)


def _state(node: NodeRecord | None) -> tuple[bool, bool] | None:
    return None if node is None else (node.ready, node.out_of_service)


def _waits_for_registry(job: BatchJob) -> bool:
    ledger = job.status.ledger
    return not job.status.has_ended and (ledger is None or ledger.spec_hash is None)


def _plain(body: kopf.Body) -> dict[str, Any]:
    """kopf's views are live and lazy; a record must not change under its reader."""
    return {"metadata": dict(body["metadata"]), "spec": dict(body.get("spec") or {})}
