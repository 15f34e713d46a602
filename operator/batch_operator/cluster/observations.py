"""All that the operator knows at a moment: the stores that watches fill, and what only memory holds.

Written by handlers (watch events), cluster.progress_server (reports) and cluster.apply (answers to our own
writes); read by cluster.gather. Everything here can be lost: a restarted operator finds it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batch_operator.api.job_file import JobFile
from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.job_files import JobFiles
from batch_operator.cluster.store import RecordStore
from batch_operator.reconcile import rounds
from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.observed import WaitingJob
from batch_operator.snapshot import Displaced, NodeRecord, PipelineRecord, PodRecord, Refusal


@dataclass(frozen=True, slots=True)
class NamespaceLabels:
    """A namespace's labels, and when they were read."""

    labels: Mapping[str, str] | None
    """None: they may not be read."""
    read_at: datetime


@dataclass(slots=True)
class Observations:
    """Stores by kind; what a pod said by its uid; job files and refusals by job uid; org ids by namespace."""

    jobs: RecordStore[BatchJob] = field(default_factory=RecordStore)
    pods: RecordStore[PodRecord] = field(default_factory=RecordStore)
    nodes: RecordStore[NodeRecord] = field(default_factory=RecordStore)
    pipelines: RecordStore[PipelineRecord] = field(default_factory=RecordStore)
    cluster_pipelines: RecordStore[PipelineRecord] = field(default_factory=RecordStore)
    queues: RecordStore[QueueRecord] = field(default_factory=RecordStore)
    reports: dict[str, Report] = field(default_factory=dict)
    job_files: JobFiles = field(default_factory=JobFiles)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    org_ids: dict[str, str] = field(default_factory=dict)
    nodes_missed_since: dict[str, datetime] = field(default_factory=dict)
    """Since when a pod's node has not been there, by pod uid."""
    nodes_gone: set[str] = field(default_factory=set)
    """Nodes that the API server itself says are no more, by name."""
    pods_given_up: set[str] = field(default_factory=set)
    """uids of pods whose node is gone, or is out of service."""
    priorities: dict[str, int] = field(default_factory=dict)
    """Values of PriorityClasses, which never change, by name."""
    namespace_labels: dict[str, NamespaceLabels] = field(default_factory=dict)
    """By namespace; read only where a Queue selects by them."""
    decisions: Decisions = Decisions()
    """What the queues decided last. Written by handlers.scheduler, as are the next three."""
    granted: dict[str, WaitingJob] = field(default_factory=dict)
    """Admissions that status does not say yet, by job uid: what was asked for."""
    displaced: dict[str, Displaced] = field(default_factory=dict)
    """Preemptions likewise."""
    telling: set[str] = field(default_factory=set)
    """uids of waiting jobs whose place may be written now."""

    def registry(self, namespace: str, key: str) -> tuple[PipelineRecord, ...]:
        """The registry's objects of `key` that a job in `namespace` may use."""
        own = (p for p in self.pipelines.values() if p.namespace == namespace and p.key == key)
        return (*own, *(p for p in self.cluster_pipelines.values() if p.key == key))

    def grow_older(self) -> None:
        """To be called every store.AGE_SECONDS."""
        for store in self._stores:
            store.grow_older()

    @property
    def living(self) -> int:
        """Records in all stores."""
        return sum(len(store) for store in self._stores)

    @property
    def dead(self) -> int:
        """Objects of which it is remembered that they are gone."""
        return sum(store.tombstones for store in self._stores)

    @property
    def _stores(self) -> tuple[RecordStore[Any], ...]:
        return (self.jobs, self.pods, self.nodes, self.pipelines, self.cluster_pipelines, self.queues)

    def is_living(self, job_uid: str) -> bool:
        """Whether the job is there and has not ended."""
        job = self.jobs.get(job_uid)
        return job is not None and not job.status.has_ended

    def finish_job(self, uid: str) -> None:
        """The job has ended, and its status says all: what only a living job needs is let go."""
        for pod in self.pods.by_owner(uid):
            self.forget_pod(pod.uid)
            self.pods.forget(pod.uid)
        self.job_files.forget(uid)
        self.refusals.pop(uid, None)

    def keep_job_file(self, uid: str, file: JobFile, *, unread: bool = False) -> None:
        """`unread`: nobody has looked what the job's ConfigMap holds."""
        if self.is_living(uid):
            self.job_files.keep(uid, file, unread=unread)

    def forget_superseded(self, job: BatchJob) -> None:
        """Lost pods whose loss is counted: status has gone on to a later attempt of their index."""
        components = (job.status.ledger.components if job.status.ledger else None) or {}
        known = rounds.read(components) if any(c.attempt or c.attempts for c in components.values()) else {}
        for pod in self.pods.by_owner(job.uid) if known else ():
            if pod.deleted and pod.component in known and pod.attempt < known[pod.component].attempt_of(pod.index):
                self.forget_pod(pod.uid)
                self.pods.forget(pod.uid)

    def forget_pod(self, uid: str) -> None:
        self.reports.pop(uid, None)
        self.nodes_missed_since.pop(uid, None)
        self.pods_given_up.discard(uid)

    def forget_job(self, uid: str) -> None:
        """The job is gone: so is all that was kept for it."""
        self.finish_job(uid)
        self.pods.forget_owner(uid)
