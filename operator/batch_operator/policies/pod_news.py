"""How soon a change of a pod is worth a pass over its job. Called by handlers.watches for each word of the pods' watch.

A pass looks at everything that is there, so that a later one loses nothing but time. A job of a thousand pods hears
four thousand words, and a pass over it looks at a thousand pods.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from batch_operator.api.v1alpha1.batchjob import BatchJob, JobStatus
from batch_operator.snapshot import PodRecord


class Haste(Enum):
    NOW = "now"
    SOON = "soon"
    """It moves the progress of a job that runs, and nothing else."""
    NEVER = "never"
    """Nothing follows from it that a timer of the job would not notice."""


def haste(job: BatchJob | None, old: PodRecord | None, new: PodRecord | None, others_live: Callable[[], bool]) -> Haste:
    """`old` None for a new pod, `new` None for one that is gone; `others_live`: whether other pods of the job do."""
    if job is None:
        return Haste.NEVER  # there is nothing to look at; once it is known, it comes by itself
    if old is None or new is None or new.deleted:
        return Haste.NOW
    if new.node and not old.node and replace(old, node=new.node, resource_version=new.resource_version) == new:
        return Haste.NEVER  # it waits for its start, at which a timer looks too
    if not _runs_on(job) or not _goes_well(old, new):
        return Haste.NOW
    return Haste.SOON if new.is_live or others_live() else Haste.NOW


def _runs_on(job: BatchJob) -> bool:
    ledger = job.status.ledger
    return job.status.status is JobStatus.RUNNING and ledger is not None and ledger.stopping is None


def _goes_well(old: PodRecord, new: PodRecord) -> bool:
    """It started, or succeeded; nobody takes it away."""
    if new.deleting or new.disruption or new.gate or new.waiting_reason or not old.is_live:
        return False
    return new.phase == "Succeeded" or (new.phase == "Running" and new.started_at is not None)
