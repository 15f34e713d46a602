"""An admitted job: pods are made, watched, judged and, where the job fails, ended. Called by reconcile.batchjob."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobStatus, Stopping
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.api.words import shortened
from batch_operator.policies import inputs, pod_failure, pod_start, progress, refusal, success
from batch_operator.policies.verdict import Failure
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.resources.configmap import configmap as build_configmap
from batch_operator.resources.pod import Place, pod
from batch_operator.snapshot import JobSnapshot, PodRecord

FIRST_ATTEMPT = 0
LOOK_AGAIN = timedelta(seconds=30)
"""A pod that does not start tells nobody why; gather then looks whether its ConfigMap is still there."""
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
    done = progress.fold(file, ledger, pods.values(), seen.reports)
    status = _started(statuses.with_progress(status, done, file), pods)
    ended = success.every_index_ended(done, ledger.components or {})
    why = _first_failure(pods, seen, now) or success.inputs_failure(done, policy, ended=ended)
    if ledger.stopping is not None or why is not None:
        return stop(job, status, why, seen, now, Ending(policy.grace_seconds, done.notices))
    if ended:
        status = statuses.completed(status, done, now)
        message = "; ".join((status.message or "", *done.notices))
        return Plan("Completed", message, event=Event("Normal", Reason.COMPLETED, message)), status
    return _go_on(job, status, file, pods, seen, now)


def _started(status: BatchJobStatus, pods: Pods) -> BatchJobStatus:
    """The first start, also of a job whose pods end before anybody saw them run."""
    started = [p.started_at for p in pods.values() if p.started_at is not None]
    if status.started_at is not None or not started:
        return status
    return status.model_copy(update={"started_at": min(started)})


def _go_on(
    job: BatchJob, status: BatchJobStatus, file: JobFile, pods: Pods, seen: JobSnapshot, now: datetime
) -> tuple[Plan, BatchJobStatus]:
    missing = missing_pods(job, file, status, pods, seen)
    held_back = held_back_until(seen, now)
    waits = [due - now for due in _deadlines(pods, seen) if due > now]
    if any(p.is_live and p.started_at is None for p in pods.values()):
        waits.append(LOOK_AGAIN)
    refused = ""
    if seen.refusal is not None and missing:
        refused = f"; {len(missing)} more refused: {seen.refusal.message}"
    if held_back is not None and missing:
        missing = ()
        waits.append(held_back - now)
    if status.started_at is not None or status.status is JobStatus.RUNNING:
        status = _running(status, _waiting(pods) + refused, now)
    elif seen.refusal is not None and not pods:
        status = _refused(status, seen, now)
    else:
        status = _starting(status, pods, refused, now)
    plan = Plan(
        "Running" if status.status is JobStatus.RUNNING else "Starting",
        status.message or "",
        pods=missing,
        requeue_after=min(waits, default=None),
    )
    return plan, status


def held_back_until(seen: JobSnapshot, now: datetime) -> datetime | None:
    """When refused children are tried again, if that is not yet."""
    if seen.refusal is None:
        return None
    due = refusal.next_try(seen.refusal)
    return due if due > now else None


def _waiting(pods: Pods) -> str:
    """What a person wants to know of a job that runs with a part of its pods only."""
    words = [p.unschedulable for p in pods.values() if p.unschedulable]
    return f"; {len(words)} of {len(pods)} pods wait for a node: {words[0]}" if words else ""


def _running(status: BatchJobStatus, remark: str, now: datetime) -> BatchJobStatus:
    counts = status.input_progress
    assert counts is not None, "progress is folded before"
    done = counts.completed + counts.failed
    total = done + counts.pending + counts.processing
    message = f"running: {done} of {total} inputs done" if total else "running"
    if counts.failed:
        message += f", {counts.failed} of them failed"
    return statuses.moved(
        status,
        JobStatus.RUNNING,
        [(ConditionType.RUNNING, True, Reason.PODS_RUNNING, ""), *statuses.ADMITTED],
        now,
        started_at=status.started_at or now,
        message=shortened(message + remark),
    )


def _starting(status: BatchJobStatus, pods: Pods, refused: str, now: datetime) -> BatchJobStatus:
    words = next((p.unschedulable for p in pods.values() if p.unschedulable), "") or next(
        (f"{p.waiting_reason}: {p.waiting_message}" for p in pods.values() if p.waiting_message), ""
    )
    count = sum(c.parallelism for c in (status.ledger.components or {}).values()) if status.ledger else 0
    message = starting_message(count) + (f" ({words})" if words else "") + refused
    return statuses.moved(status, JobStatus.ADMITTED, statuses.ADMITTED, now, message=shortened(message))


def starting_message(count: int) -> str:
    return f"admitted: starting {count} pod{'s' if count != 1 else ''}"


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


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job's pods are ended, and what its last Event adds."""

    grace_seconds: int = success.EffectivePolicy().grace_seconds
    notices: tuple[str, ...] = ()


def stop(
    job: BatchJob, status: BatchJobStatus, why: Failure | None, seen: JobSnapshot, now: datetime, ending: Ending
) -> tuple[Plan, BatchJobStatus]:
    """The job fails: at once where no pod lives, else its pods are ended first.

    The intent is written before the deletes, and the first one stays: `why` counts only where none is written yet.
    """
    ledger = status.ledger
    assert ledger is not None, "a job with pods has a ledger"
    stopping = ledger.stopping
    if stopping is None:
        assert why is not None, "somebody decided to stop it"
        stopping = Stopping(reason=Reason.of_code(why.code), since=now, error=statuses.error(job, why))
    assert stopping.error is not None, "so far, jobs are stopped for errors only"
    living = [p for p in seen.pods if p.is_live]
    if not living:
        status = statuses.failed(status, stopping.error, now)
        message = "; ".join((stopping.error.message, *ending.notices))
        return Plan("Failed", stopping.error.message, event=Event("Warning", Reason.FAILED, message)), status
    names = ", ".join(f"{p.name} on {p.node or 'no node yet'}" for p in living[:3])
    message = (
        f"stopping ({shortened(stopping.error.message, 300)}); waiting for {len(living)} of its pods: {names}; "
        "if such a node is gone for good, delete its Node object"
    )
    assert status.status is not None, "a job with pods has a status"
    status = statuses.moved(
        status,
        status.status,
        [(ConditionType.RUNNING, False, Reason.STOPPING, stopping.error.message)],
        now,
        message=message,
        ledger=ledger.model_copy(update={"stopping": stopping}),
    )
    deletes = tuple(PodDelete(p.name, p.uid, ending.grace_seconds) for p in living if not p.deleting)
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
        pod = pods[place]
        since = seen.slow_since.get(pod.uid)
        overdue = since is not None and now >= since + seen.settings.image_pull_timeout
        if (why := pod_failure.failure(pod) or pod_start.failure(pod, overdue)) is not None:
            return why
    return None


def _deadlines(pods: Pods, seen: JobSnapshot) -> list[datetime]:
    return [
        seen.slow_since[pod.uid] + seen.settings.image_pull_timeout
        for pod in pods.values()
        if pod_start.is_slow(pod) and pod.uid in seen.slow_since
    ]


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
