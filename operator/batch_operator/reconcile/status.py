"""How a status is built: what each state says of a job. Called by all of reconcile."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from batch_operator.api import ids, ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobError, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Condition, ConditionType, Reason, find, is_true, make, set_condition
from batch_operator.api.v1alpha1.schema_types import rfc3339
from batch_operator.api.words import shortened
from batch_operator.policies import progress as progress_policy
from batch_operator.policies import requests
from batch_operator.policies.progress import Progress
from batch_operator.policies.verdict import Failure, Stalled
from batch_operator.reconcile import rounds, transitions
from batch_operator.snapshot import Turn

ADMITTED = (
    (ConditionType.ADMITTED, True, Reason.ADMITTED, ""),
    (ConditionType.STALLED, False, Reason.RESOLVED, ""),
    (ConditionType.SUSPENDED, False, Reason.RESUMED, ""),
    (ConditionType.PREEMPTED, False, Reason.ADMITTED, ""),
)
"""Conditions of every admitted job; without a message, so that what goes on moves `status.message` only."""

_UNSPOKEN = frozenset({ConditionType.STALLED, ConditionType.SUSPENDED, ConditionType.PREEMPTED})
"""A job of which these were never true need not say that they are false."""
_ROUND_WORDS = {
    Reason.BACK_OFF: "waiting to retry",
    Reason.RETRYING: "waiting to retry",
    Reason.START_TIMEOUT: "it did not start in time; waiting for its next admission",
}


WORDS_AGE = timedelta(minutes=1)
"""What a waiting job says of others is as old as this at most, if nothing else changes."""


def first_sight(job: BatchJob, org_id: str) -> BatchJobStatus:
    """What every status says from the first write on."""
    if job.status.id is not None:
        return job.status
    return job.status.model_copy(
        update={
            "id": ids.job_id(job.uid),
            "org_id": org_id,
            "name": job.spec.name or job.name,
            "pipeline_type": job.spec.pipeline_type,
            "pipeline_key": job.spec.pipeline_key,
            "retry_count": 0,
            "preemption_count": 0,
            "created_at": job.created_at,
        }
    )


def moved(
    status: BatchJobStatus,
    to: JobStatus,
    conditions: Sequence[tuple[ConditionType, bool, Reason, str]],
    now: datetime,
    **fields: Any,
) -> BatchJobStatus:
    """`status` in state `to` with these conditions and fields. Raises IllegalTransition."""
    transitions.check(status.status, to)
    fields = {"queue_position": None, "queue_depth": None} | fields  # only a job that waits has a place
    merged: tuple[Condition, ...] = tuple(status.conditions or ())
    for kind, value, reason, message in conditions:
        if kind in _UNSPOKEN and not value and all(c.type != kind for c in merged):
            continue
        merged = set_condition(merged, make(kind, value, reason, message, now))
    return status.model_copy(update={"status": to, "conditions": list(merged), **fields})


def stalled(job: BatchJob, status: BatchJobStatus, why: Stalled, now: datetime) -> BatchJobStatus:
    """PENDING until somebody changes the registry."""
    return moved(
        status,
        JobStatus.PENDING,
        [
            (ConditionType.ADMITTED, False, why.reason, why.message),
            (ConditionType.STALLED, True, why.reason, why.message),
            (
                ConditionType.SUSPENDED,
                bool(job.spec.suspend),
                Reason.SUSPENDED if job.spec.suspend else Reason.RESUMED,
                "",
            ),
        ],
        now,
        error=error(job, Failure("INVALID_REQUEST", why.message, why.suggestion)),
        message=why.message,
    )


def waiting(status: BatchJobStatus, reason: Reason, now: datetime) -> BatchJobStatus:
    """PENDING: without pods, in a back-off whose end stands in the ledger, and without a place."""
    ledger = status.ledger or Ledger()
    due = _next_due(ledger, now)
    words = _ROUND_WORDS.get(reason, "waiting") + (f"; next try at {rfc3339(due)}" if due else "")
    return moved(
        _idle(status),
        JobStatus.PENDING,
        [
            (ConditionType.RUNNING, False, reason, ""),
            (ConditionType.ADMITTED, False, reason, ""),
        ],
        now,
        message=_with_inputs(words, status),
        ledger=clocks_stopped(ledger, now).model_copy(update={"stopping": None, "waiting_since": due or now}),
    )


def preempted(status: BatchJobStatus, words: str, now: datetime) -> BatchJobStatus:
    """PREEMPTED: its pods were lost to preemption; it requeues by itself."""
    ledger = status.ledger or Ledger()
    message = "preempted" + (f": {words}" if words else "") + "; it goes on when it is admitted again"
    return moved(
        _idle(status),
        JobStatus.PREEMPTED,
        [
            (ConditionType.RUNNING, False, Reason.PREEMPTED, ""),
            (ConditionType.ADMITTED, False, Reason.PREEMPTED, ""),
            (ConditionType.PREEMPTED, True, Reason.PREEMPTED, words),
        ],
        now,
        message=_with_inputs(shortened(message), status),
        ledger=clocks_stopped(ledger, now).model_copy(update={"stopping": None, "waiting_since": now}),
    )


def queued(status: BatchJobStatus, turn: Turn, now: datetime) -> BatchJobStatus:
    """PENDING or PREEMPTED, with what its queue says of it."""
    reason = Reason(turn.reason)
    stalled = (ConditionType.STALLED, False, Reason.RESOLVED, "")
    if turn.is_stalled:
        stalled = (ConditionType.STALLED, True, reason, turn.words)
    return moved(
        status,
        status.status or JobStatus.PENDING,
        [
            (ConditionType.ADMITTED, False, reason, turn.words),
            stalled,
            (ConditionType.SUSPENDED, False, Reason.RESUMED, ""),
        ],
        now,
        message=_with_inputs(f"waits for its admission: {turn.words}", status),
        error=None,
        queue_position=turn.position,
        queue_depth=turn.depth,
    )


def has_news(status: BatchJobStatus, turn: Turn, now: datetime) -> bool:
    """Whether what its queue says of a job that waits is worth a write: another reason or place at once; how much is
    missing, and who holds it, now and then."""
    admitted = find(status.conditions, ConditionType.ADMITTED)
    place = (admitted.reason if admitted else "", status.queue_position, status.queue_depth)
    if place != (turn.reason, turn.position, turn.depth):
        return True
    is_old = status.updated_at is None or now - status.updated_at >= WORDS_AGE
    return is_old and words_differ(status, turn)


def words_differ(status: BatchJobStatus, turn: Turn) -> bool:
    admitted = find(status.conditions, ConditionType.ADMITTED)
    return admitted is None or admitted.message != turn.words


def suspended(status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    ledger = without_backoff(clocks_stopped(status.ledger or Ledger(), now))
    return moved(
        _idle(status),
        JobStatus.PENDING,
        [
            (ConditionType.RUNNING, False, Reason.SUSPENDED, ""),
            (ConditionType.ADMITTED, False, Reason.SUSPENDED, ""),
            (ConditionType.SUSPENDED, True, Reason.SUSPENDED, ""),
            (ConditionType.PREEMPTED, False, Reason.SUSPENDED, ""),
        ],
        now,
        message=_with_inputs("suspended; set spec.suspend to false to go on", status),
        ledger=ledger.model_copy(update={"stopping": None, "waiting_since": None}),
    )


def clocks_stopped(ledger: Ledger, now: datetime) -> Ledger:
    """The job runs no more, and starts no more: what it ran is added up."""
    since, ran = ledger.running_since, ledger.run_seconds
    if since is not None:
        ran = (ran or 0) + max(0, int((now - since).total_seconds()))
    return ledger.model_copy(update={"running_since": None, "run_seconds": ran, "starting_since": None})


def without_backoff(ledger: Ledger) -> Ledger:
    """What the job waited for counts no more; when it goes on, it goes on with a new round."""
    components = {
        name: known.model_copy(update={"next_retry": None}) for name, known in (ledger.components or {}).items()
    }
    return ledger.model_copy(update={"components": components or None, "next_admission": None})


def _next_due(ledger: Ledger, now: datetime) -> datetime | None:
    """When a job without pods is due again, if that is not now."""
    retries = [when for known in (ledger.components or {}).values() for when in (known.next_retry or {}).values()]
    moments = [m for m in (ledger.next_admission, min(retries, default=None)) if m is not None and m > now]
    return max(moments, default=None)


def _with_inputs(words: str, status: BatchJobStatus) -> str:
    counts = status.input_progress
    total = counts.pending + counts.processing + counts.completed + counts.failed if counts else 0
    return f"{words}; {counts.completed + counts.failed} of {total} inputs done" if counts and total else words


def _idle(status: BatchJobStatus) -> BatchJobStatus:
    """None of its pods lives: what was in work is pending again."""
    counts = status.input_progress
    if counts is None:
        return status
    idle = counts.model_copy(update={"pending": counts.pending + counts.processing, "processing": 0})
    return status.model_copy(update={"input_progress": idle})


def failed(status: BatchJobStatus, why: JobError, now: datetime) -> BatchJobStatus:
    """The end of a job none of whose pods lives."""
    reason = Reason.of_code(why.code)
    return moved(
        _idle(status),
        JobStatus.FAILED,
        [*_ended(status, reason), (ConditionType.FAILED, True, reason, why.message), _finished(reason, why.message)],
        now,
        failed_at=not_before_its_start(now, status),
        error=why,
        message=why.message,
        ledger=_closed(status.ledger, now),
    )


def cancelled(status: BatchJobStatus, since: datetime, now: datetime) -> BatchJobStatus:
    """Likewise, on request; `since`: when the request was accepted."""
    message = _with_inputs("cancelled on request", status)
    return moved(
        _idle(status),
        JobStatus.CANCELLED,
        [
            *_ended(status, Reason.CANCELLED),
            (ConditionType.FAILED, True, Reason.CANCELLED, message),
            _finished(Reason.CANCELLED, message),
        ],
        now,
        cancelled_at=not_before_its_start(since, status),
        error=None,
        message=message,
        ledger=_closed(status.ledger, now),
    )


def _ended(status: BatchJobStatus, reason: Reason) -> list[tuple[ConditionType, bool, Reason, str]]:
    admitted = is_true(status.conditions, ConditionType.ADMITTED)
    return [
        (ConditionType.RUNNING, False, reason, ""),
        (ConditionType.STALLED, False, Reason.RESOLVED, ""),
        (ConditionType.SUSPENDED, False, reason, ""),
        (ConditionType.PREEMPTED, False, reason, ""),
        *(ADMITTED[:1] if admitted else ()),
    ]


def _finished(reason: Reason, message: str) -> tuple[ConditionType, bool, Reason, str]:
    return (ConditionType.FINISHED, True, reason, message)


def not_before_its_start(moment: datetime, status: BatchJobStatus) -> datetime:
    """Three clocks write a job's times: the API server's, a node's and ours. An end never lies before its start."""
    return max(m for m in (moment, status.created_at, status.started_at) if m is not None)


def _closed(ledger: Ledger | None, now: datetime) -> Ledger | None:
    if ledger is None:
        return None
    return without_backoff(clocks_stopped(ledger, now)).model_copy(update={"stopping": None, "waiting_since": None})


def retried(job: BatchJob, status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """FAILED or CANCELLED -> PENDING on request: failed inputs open again, limits and back-off count anew."""
    retries = (status.retry_count or 0) + 1
    ledger = requests.retry_answered(status.ledger, job.retry_requested).model_copy(
        update={
            "failed_inputs": None,
            "preemption_base": status.preemption_count or None,
            "round_failures": None,
            "ttl_since": None,
            "waiting_since": now,
            "start_timeouts": None,
            "run_seconds": None,
            "children_deleted_at": None,
        }
    )
    components = rounds.written(rounds.reopened(rounds.read(ledger.components)))
    ledger = ledger.model_copy(update={"components": components or None})
    counts = status.input_progress
    if counts is not None:
        counts = counts.model_copy(update={"pending": counts.pending + counts.failed, "failed": 0})
    total = counts.pending + counts.completed if counts else 0
    reason = Reason.RETRY_REQUESTED
    return moved(
        status,
        JobStatus.PENDING,
        [
            (ConditionType.ADMITTED, False, reason, ""),
            (ConditionType.FAILED, False, reason, ""),
            (ConditionType.FINISHED, False, reason, ""),
        ],
        now,
        retry_count=retries,
        error=None,
        failed_at=None,
        cancelled_at=None,
        failures=None,
        input_progress=counts,
        progress=f"{counts.completed}/{total}" if counts else None,
        message="a retry was requested; it goes on when it is admitted",
        ledger=ledger,
    )


def completed(status: BatchJobStatus, progress: Progress, now: datetime) -> BatchJobStatus:
    message = f"completed: {len(progress.completed)} of {progress.total} inputs"
    if progress.failed:
        message += f", {len(progress.failed)} failed"
    return moved(
        status,
        JobStatus.COMPLETED,
        [
            (ConditionType.RUNNING, False, Reason.COMPLETED, ""),
            (ConditionType.COMPLETE, True, Reason.COMPLETED, message),
            (ConditionType.FINISHED, True, Reason.COMPLETED, message),
            *ADMITTED,
        ],
        now,
        completed_at=not_before_its_start(now, status),
        error=None,
        message=message,
        ledger=_closed(status.ledger, now),
    )


def error(job: BatchJob, why: Failure) -> JobError:
    return JobError(
        code=why.code,
        message=why.message,
        error_uid=ids.error_uid(job.uid, why.code, why.message),
        suggestion=why.suggestion,
        component=why.component,
        input=why.input,
        exit_code=why.exit_code,
    )


def with_progress(status: BatchJobStatus, progress: Progress, file: JobFile) -> BatchJobStatus:
    ledger = status.ledger or Ledger()
    return status.model_copy(
        update={
            "input_progress": progress.counts,
            "progress": f"{progress.done}/{progress.total}",
            "failures": progress_policy.failures(progress, status.failures or (), file) or None,
            "ledger": ledger.model_copy(
                update={
                    "completed_inputs": ranges.format_ranges(progress.completed) or None,
                    "failed_inputs": ranges.format_ranges(progress.failed) or None,
                    "components": progress_policy.ledger_components(progress, ledger.components or {}),
                }
            ),
        }
    )
