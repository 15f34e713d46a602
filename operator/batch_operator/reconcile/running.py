"""An admitted job: pods are made, watched, judged and, where the job fails, ended. Called by reconcile.batchjob."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobStatus, Stopping
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.policies import inputs, pod_failure, pod_start, progress, refusal, success
from batch_operator.policies.progress import Progress
from batch_operator.policies.verdict import Failure
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.resources.configmap import configmap as build_configmap
from batch_operator.resources.pod import Place, pod
from batch_operator.snapshot import JobSnapshot, PodRecord

FIRST_ATTEMPT = 0
EVENT_LENGTH = 1000
ADMITTED = (
    (ConditionType.ADMITTED, True, Reason.ADMITTED, ""),
    (ConditionType.STALLED, False, Reason.RESOLVED, ""),
)
"""Conditions of every admitted job; without a message, so that what goes on moves `status.message` only."""
Pods = Mapping[tuple[str, int], PodRecord]
"""The job's pods by component and index."""


def run(
    job: BatchJob, status: BatchJobStatus, file: JobFile, seen: JobSnapshot, now: datetime
) -> tuple[Plan, BatchJobStatus]:
    """One pass over an admitted job -> (plan without a status, status as it should be)."""
    ledger = status.ledger
    assert ledger is not None, "an admitted job has a ledger"
    pods = _own_pods(seen, status)
    policy = success.effective(job.policy, file.retry_policy)
    now_done = progress.fold(file, ledger, pods.values(), seen.reports)
    status = statuses.with_progress(status, now_done, file)
    if ledger.stopping is not None:
        return _stop(job, status, ledger.stopping, seen, now, now_done)
    ended = success.every_index_ended(now_done, ledger.components or {})
    why = _first_failure(pods, seen, now) or success.inputs_failure(now_done, policy, ended=ended)
    if why is not None:
        return fail(job, status, why, seen, now, now_done)
    if ended:
        status = statuses.completed(status, now_done, now)
        message = "; ".join((status.message or "", *now_done.notices))[:EVENT_LENGTH]
        return Plan("Completed", message, event=Event("Normal", Reason.COMPLETED, message)), status
    return _go_on(job, status, file, pods, seen, now)


def _go_on(
    job: BatchJob, status: BatchJobStatus, file: JobFile, pods: Pods, seen: JobSnapshot, now: datetime
) -> tuple[Plan, BatchJobStatus]:
    missing = missing_pods(job, file, status, pods, seen)
    retry_at = refusal.next_try(seen.refusal) if seen.refusal and missing else None
    waits = [due - now for due in _deadlines(pods, seen) if due > now]
    if retry_at is not None and retry_at > now:
        missing = ()
        waits.append(retry_at - now)
    started = [p.started_at for p in pods.values() if p.started_at is not None]
    if started or status.status is JobStatus.RUNNING:
        status = _running(status, started, now)
    elif seen.refusal is not None and not pods:
        status = _refused(status, seen, now)
    else:
        status = _starting(status, pods, now)
    plan = Plan(
        "Running" if status.status is JobStatus.RUNNING else "Starting",
        status.message or "",
        pods=missing,
        requeue_after=min(waits, default=None),
    )
    return plan, status


def _running(status: BatchJobStatus, started: list[datetime], now: datetime) -> BatchJobStatus:
    counts = status.input_progress
    assert counts is not None, "progress is folded before"
    done, total = (
        counts.completed + counts.failed,
        counts.pending + counts.processing + counts.completed + counts.failed,
    )
    message = f"running: {done} of {total} inputs done" if total else "running"
    if counts.failed:
        message += f", {counts.failed} of them failed"
    return statuses.moved(
        status,
        JobStatus.RUNNING,
        [(ConditionType.RUNNING, True, Reason.PODS_RUNNING, ""), *ADMITTED],
        now,
        started_at=status.started_at or min(started, default=now),
        message=message,
    )


def _starting(status: BatchJobStatus, pods: Pods, now: datetime) -> BatchJobStatus:
    words = next((p.unschedulable for p in pods.values() if p.unschedulable), "") or next(
        (f"{p.waiting_reason}: {p.waiting_message}" for p in pods.values() if p.waiting_message), ""
    )
    count = sum(c.parallelism for c in (status.ledger.components or {}).values()) if status.ledger else 0
    message = f"admitted: starting {count} pod{'s' if count != 1 else ''}" + (f" ({words})" if words else "")
    return statuses.moved(status, JobStatus.ADMITTED, ADMITTED, now, message=message)


def _refused(status: BatchJobStatus, seen: JobSnapshot, now: datetime) -> BatchJobStatus:
    assert seen.refusal is not None, "only called with one"
    why, words = refusal.reason(seen.refusal), seen.refusal.message
    return statuses.moved(
        status,
        JobStatus.PENDING,
        [
            (ConditionType.ADMITTED, False, why, words),
            (ConditionType.STALLED, why is not Reason.NAMESPACE_QUOTA, why, words),
        ],
        now,
        message=f"pods are refused: {words}",
    )


def fail(
    job: BatchJob,
    status: BatchJobStatus,
    why: Failure,
    seen: JobSnapshot,
    now: datetime,
    done: Progress | None = None,
) -> tuple[Plan, BatchJobStatus]:
    """The job fails: at once where no pod lives, else its pods are ended first."""
    stopping = Stopping(reason=Reason.of_code(why.code), since=now, error=statuses.error(job, why))
    return _stop(job, status, stopping, seen, now, done)


def _stop(
    job: BatchJob,
    status: BatchJobStatus,
    stopping: Stopping,
    seen: JobSnapshot,
    now: datetime,
    done: Progress | None,
) -> tuple[Plan, BatchJobStatus]:
    """A job is announced as ended only when none of its pods lives; the intent is written before the deletes."""
    assert stopping.error is not None, "so far, jobs are stopped for errors only"
    living = [p for p in seen.pods if p.is_live]
    if not living:
        status = statuses.failed(job, status, stopping.error, now)
        notices = done.notices if done else ()
        event = Event("Warning", Reason.FAILED, "; ".join((stopping.error.message, *notices))[:EVENT_LENGTH])
        return Plan("Failed", stopping.error.message, event=event), status
    names = ", ".join(f"{p.name} on {p.node or 'no node yet'}" for p in living[:3])
    message = f"stopping ({stopping.error.message}); waiting for {len(living)} of its pods: {names}"
    assert status.status is not None, "a job with pods has a status"
    ledger = status.ledger
    assert ledger is not None, "a job with pods has a ledger"
    status = statuses.moved(
        status,
        status.status,
        [(ConditionType.RUNNING, False, Reason.STOPPING, stopping.error.message)],
        now,
        message=message,
        ledger=ledger.model_copy(update={"stopping": stopping}),
    )
    grace = success.effective(job.policy, seen.job_file.retry_policy if seen.job_file else None).grace_seconds
    deletes = tuple(PodDelete(p.name, p.uid, grace) for p in living if not p.deleting)
    return Plan("Stopping", message, deletes=deletes), status


def _own_pods(seen: JobSnapshot, status: BatchJobStatus) -> Pods:
    """Pods that status authorises; one that somebody else hung on the job counts for nothing."""
    components = (status.ledger.components if status.ledger else None) or {}
    return {
        (p.component, p.index): p
        for p in seen.pods
        if p.component in components
        and 0 <= p.index < components[p.component].parallelism
        and p.attempt == FIRST_ATTEMPT
    }


def _first_failure(pods: Pods, seen: JobSnapshot, now: datetime) -> Failure | None:
    for place in sorted(pods):
        why = pod_failure.failure(pods[place]) or pod_start.failure(pods[place], now, seen.settings.image_pull_timeout)
        if why is not None:
            return why
    return None


def _deadlines(pods: Pods, seen: JobSnapshot) -> list[datetime]:
    found = (pod_start.deadline(p, seen.settings.image_pull_timeout) for p in pods.values())
    return [due for due in found if due is not None]


def missing_pods(
    job: BatchJob, file: JobFile, status: BatchJobStatus, pods: Pods, seen: JobSnapshot
) -> tuple[dict[str, Any], ...]:
    """Manifests of the pods that status authorises and that are neither there nor done."""
    assert status.ledger is not None, "an admitted job has a ledger"
    grace = success.effective(job.policy, file.retry_policy).grace_seconds
    manifests: list[dict[str, Any]] = []
    for name, component in (status.ledger.components or {}).items():
        done = progress.succeeded_indexes(component)
        blocks = inputs.blocks(file.numbers.get(name, ()), component.parallelism)
        for index, block in enumerate(blocks):
            if index not in done and (name, index) not in pods:
                place = Place(name, index, FIRST_ATTEMPT, block)
                manifests.append(pod(job, file, place, seen.settings, grace))
    return tuple(manifests)


def configmap(job: BatchJob, file: JobFile, seen: JobSnapshot) -> dict[str, Any]:
    return build_configmap(job, file, seen.settings.ca_certificate)
