"""What status says of a job that has pods: they start, run, or are refused. Called by reconcile.running."""

from datetime import datetime
from typing import Any

from batch_operator.api.v1alpha1.batchjob import BatchJobStatus, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.api.v1alpha1.schema_types import rfc3339
from batch_operator.api.words import shortened
from batch_operator.policies import refusal
from batch_operator.reconcile import pods_of_job, rounds
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.rounds import Round
from batch_operator.snapshot import JobSnapshot


def running(status: BatchJobStatus, remark: str, now: datetime) -> BatchJobStatus:
    """RUNNING; `remark` goes behind the count of inputs."""
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
        ledger=ledger_of(status).model_copy(
            update={"running_since": ledger_of(status).running_since or now, "waiting_since": None}
        ),
    )


def starting(status: BatchJobStatus, pods: rounds.Pods, count: int, refused: str, now: datetime) -> BatchJobStatus:
    """ADMITTED, `count` pods are made or to be made; `refused`: a remark on those that could not be."""
    words = next((p.unschedulable for p in pods.values() if p.unschedulable), "") or next(
        (f"{p.waiting_reason}: {p.waiting_message}" for p in pods.values() if p.waiting_message), ""
    )
    message = pods_of_job.starting_message(count) + (f" ({words})" if words else "") + refused
    if status.status is JobStatus.PENDING:  # refused until now: its clocks change
        status = with_ledger(status, starting_since=now, waiting_since=None)
    return statuses.moved(status, JobStatus.ADMITTED, statuses.ADMITTED, now, message=shortened(message))


def refused(status: BatchJobStatus, seen: JobSnapshot, now: datetime) -> BatchJobStatus:
    """PENDING, with the API server's words; its pods stay authorised."""
    assert seen.refusal is not None, "only called with one"
    why, words = refusal.reason(seen.refusal), seen.refusal.message
    ledger = ledger_of(status)
    return statuses.moved(
        status,
        JobStatus.PENDING,
        [
            (ConditionType.RUNNING, False, why, ""),
            (ConditionType.ADMITTED, False, why, words),
            (ConditionType.STALLED, why is not Reason.NAMESPACE_QUOTA, why, words),
        ],
        now,
        message=f"pods are refused: {words}",
        ledger=statuses.clocks_stopped(ledger, now).model_copy(
            update={"waiting_since": ledger.waiting_since or now, "starting_since": ledger.starting_since or now}
        ),
    )


def back_off_words(known: dict[str, Round], now: datetime) -> str:
    """A remark on the next index that will be retried; "" where none waits."""
    waits = sorted(
        (when, name, index) for name, r in known.items() for index, when in r.next_retry.items() if when > now
    )
    if not waits:
        return ""
    when, name, index = waits[0]
    more = f" and {len(waits) - 1} more" if waits[1:] else ""
    return f"; {name} {index}{more} will be retried at {rfc3339(when)}"


def ledger_of(status: BatchJobStatus) -> Ledger:
    assert status.ledger is not None, "a resolved job has a ledger"
    return status.ledger


def with_ledger(status: BatchJobStatus, **fields: Any) -> BatchJobStatus:
    return status.model_copy(update={"ledger": ledger_of(status).model_copy(update=fields)})
