"""A job's pods are ended on purpose: the intent is written first, the end is announced once no pod lives.

Why they are ended decides what follows: a failure, a cancel, a suspension, a start timeout, a lost round. The first
intent stays until it is carried out; what comes meanwhile is looked at after it. Called by reconcile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobError, Stopping
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.api.words import shortened
from batch_operator.policies import node_loss
from batch_operator.policies.effective_policy import EffectivePolicy
from batch_operator.policies.verdict import Failure
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.snapshot import JobSnapshot, PodRecord

LOOK_AGAIN = timedelta(seconds=30)
"""No event tells that a node has been missing for long enough to be given up."""

OVERDUE = timedelta(seconds=30)
"""After the end of its grace period a pod should be gone."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Why the pods are to go, in words for people."""

    reason: Reason
    words: str
    error: JobError | None = None
    """What the job ends with, where it fails."""
    preemptor: str = ""
    """The uid of the job that gets its quota."""
    message: str = ""
    """Where the words are not to be had from the reason alone."""


def failing(job: BatchJob, why: Failure) -> Intent:
    return Intent(Reason.of_code(why.code), why.message, statuses.error(job, why))


CANCEL = Intent(Reason.CANCELLED, "cancelled on request")
SUSPEND = Intent(Reason.SUSPENDED, "suspended")


def stop(
    job: BatchJob,
    status: BatchJobStatus,
    intent: Intent,
    seen: JobSnapshot,
    now: datetime,
    policy: EffectivePolicy,
    notices: Iterable[str] = (),
) -> tuple[Plan, BatchJobStatus]:
    """Begins to stop the job: at once done where no pod lives."""
    assert status.ledger is not None, "a job that is stopped has a ledger"
    stopping = Stopping(
        reason=intent.reason,
        since=now,
        error=intent.error,
        message=intent.message or None,
        preemptor=intent.preemptor or None,
    )
    kept = status.ledger.next_admission
    ledger = statuses.without_backoff(status.ledger)
    ledger = ledger.model_copy(update={"stopping": stopping, "next_admission": kept})
    status = status.model_copy(update={"ledger": ledger})
    return go_on(job, status, seen, now, policy, notices)


def go_on(
    job: BatchJob,
    status: BatchJobStatus,
    seen: JobSnapshot,
    now: datetime,
    policy: EffectivePolicy,
    notices: Iterable[str] = (),
) -> tuple[Plan, BatchJobStatus]:
    """One more look at a job that is being stopped; concluded once none of its pods lives."""
    assert status.ledger is not None, "a job that is stopped has a ledger"
    assert status.ledger.stopping is not None, "and says why"
    assert status.status is not None, "a job with pods has a status"
    stopping = status.ledger.stopping
    living = [p for p in seen.pods if p.is_live]
    if not living:
        return _concluded(status, stopping, now, policy, notices)
    why = stopping.error.message if stopping.error else stopping.message or _WORDS[Reason(stopping.reason)]
    names = ", ".join(f"{p.name} on {p.node or 'no node yet'}" for p in living[:3])
    message = f"stopping ({shortened(why, 300)}); waiting for {len(living)} of its pods: {names}"
    if any(_is_stuck(pod, now) for pod in living):
        message += "; if such a node is gone for good, delete its Node object"
    status = statuses.moved(
        status,
        status.status,
        [(ConditionType.RUNNING, False, Reason.STOPPING, why)],
        now,
        message=message,
        ledger=statuses.clocks_stopped(status.ledger, now),
    )
    deletes = pod_deletes(living, seen, now, policy)
    return Plan("Stopping", message, deletes=deletes, requeue_after=look_again(living, seen, now)), status


def look_again(living: Iterable[PodRecord], seen: JobSnapshot, now: datetime) -> timedelta | None:
    """When pods that are to end are worth a look without an event."""
    waits = [due - now for due in forced_delete_dues(seen) if due > now]
    if any(p.node_unready or p.deletion_due is not None for p in living):
        waits.append(LOOK_AGAIN)
    return min(waits, default=None)


def _is_stuck(pod: PodRecord, now: datetime) -> bool:
    late = pod.deletion_due is not None and now > pod.deletion_due + OVERDUE
    return pod.node != "" and (pod.node_unready or late)


_WORDS = {
    Reason.CANCELLED: "cancelled on request",
    Reason.SUSPENDED: "suspended",
    Reason.START_TIMEOUT: "it did not start in time",
    Reason.PREEMPTED: "a pod was preempted, and its component restarts as a whole",
    Reason.RETRYING: "a pod failed, and its component restarts as a whole",
}


def pod_deletes(
    living: Iterable[PodRecord], seen: JobSnapshot, now: datetime, policy: EffectivePolicy
) -> tuple[PodDelete, ...]:
    """Deletes of pods that nobody has asked to go yet, and by force of those that cannot go by themselves."""
    asked = [PodDelete(p.name, p.uid, policy.grace_seconds) for p in living if not p.deleting]
    return (*asked, *forced_deletes(seen, now))


def forced_deletes(seen: JobSnapshot, now: datetime) -> tuple[PodDelete, ...]:
    return tuple(PodDelete(p.name, p.uid, 0) for p, due in _forced(seen) if now >= due)


def forced_delete_dues(seen: JobSnapshot) -> list[datetime]:
    return [due for _, due in _forced(seen)]


def _forced(seen: JobSnapshot) -> Iterator[tuple[PodRecord, datetime]]:
    for pod in seen.pods:
        component = seen.job_file.components.get(pod.component) if seen.job_file else None
        due = node_loss.force_delete_due(pod, component.force_delete_after_seconds) if component else None
        if due is not None:
            yield pod, due


def _concluded(
    status: BatchJobStatus, stopping: Stopping, now: datetime, policy: EffectivePolicy, notices: Iterable[str]
) -> tuple[Plan, BatchJobStatus]:
    if stopping.error is not None:
        status = statuses.failed(status, stopping.error, now)
        message = "; ".join((stopping.error.message, *notices))
        return Plan("Failed", stopping.error.message, event=Event("Warning", Reason.FAILED, message)), status
    match stopping.reason:
        case Reason.CANCELLED:
            status = statuses.cancelled(status, stopping.since, now)
            event = Event("Normal", Reason.CANCELLED, status.message or "")
            return Plan("Cancelled", status.message or "", event=event), status
        case Reason.SUSPENDED:
            return suspended(status, now)
        case Reason.PREEMPTED if not _held_back(status, now):
            status = statuses.preempted(status, stopping.message or "", now)
        case reason:
            back_off = reason in (Reason.PREEMPTED, Reason.RETRYING)
            status = statuses.waiting(status, Reason.BACK_OFF if back_off else Reason(reason), now)
    return Plan(Reason(stopping.reason).value, status.message or ""), status


def _held_back(status: BatchJobStatus, now: datetime) -> bool:
    due = status.ledger.next_admission if status.ledger else None
    return due is not None and due > now


def suspended(status: BatchJobStatus, now: datetime) -> tuple[Plan, BatchJobStatus]:
    """No pod lives, and none is made until spec.suspend is false again."""
    status = statuses.suspended(status, now)
    return Plan("Suspended", status.message or ""), status
