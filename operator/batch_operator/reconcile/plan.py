"""The Plan: all that one pass over a job wants to be done, in the order in which cluster.apply does it.

Children past their time to live first: status then says that they are gone. Else status first, so that what a
pod's existence rests on is written before the pod, and the ConfigMap beside it; then deletes and pods; then the Event,
which only tells what status already says.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJobStatus
from batch_operator.scheduling.observed import WaitingJob


@dataclass(frozen=True, slots=True)
class PodDelete:
    """Delete exactly this pod: the uid is a precondition."""

    name: str
    uid: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class Event:
    """What people see with ``kubectl describe``."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`status` None: nothing to write. `requeue_after` None: nothing will happen without an event."""

    reason: str
    """One word for the log: what this pass decided."""
    message: str = ""
    status: BatchJobStatus | None = None
    deletes: tuple[PodDelete, ...] = ()
    job_file: JobFile | None = None
    """What the ConfigMap must hold before the pods are made; None: it is known to be right, or not needed. Without
    `configmap`: made anew from the registry, and as good for all that makes no pod."""
    configmap: dict[str, Any] | None = None
    pods: tuple[dict[str, Any], ...] = ()
    event: Event | None = None
    expired: tuple[PodDelete, ...] = ()
    """Pods of a finished job that is past its time to live."""
    expired_configmap: bool = False
    """Likewise, its ConfigMap."""
    delete_job: bool = False
    """The BatchJob itself is past its time to live: delete it as it was read, and with it all children."""
    ask: WaitingJob | None = None
    """The job has no status yet and first asks its queue, with `job_file`; nothing is written."""
    read_job_file: bool = False
    """The job's ConfigMap must be read before anything can be decided; nothing is written."""
    requeue_after: timedelta | None = None
