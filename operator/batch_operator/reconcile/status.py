"""How a status is built and when it is worth a write. Called by reconcile.batchjob."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from batch_operator.api import ids, ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobError, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Condition, ConditionType, Reason, make, set_condition
from batch_operator.policies import progress as progress_policy
from batch_operator.policies.progress import Progress
from batch_operator.policies.verdict import Failure, Stalled
from batch_operator.reconcile import transitions

ADMITTED = (
    (ConditionType.ADMITTED, True, Reason.ADMITTED, ""),
    (ConditionType.STALLED, False, Reason.RESOLVED, ""),
)
"""Conditions of every admitted job; without a message, so that what goes on moves `status.message` only."""

_PROGRESS_FIELDS = ("input_progress", "progress", "message", "failures")
_PROGRESS_LEDGER = ("completed_inputs", "failed_inputs", "components")


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
    merged: tuple[Condition, ...] = tuple(status.conditions or ())
    for kind, value, reason, message in conditions:
        if kind is ConditionType.STALLED and not value and all(c.type != kind for c in merged):
            continue  # a job that never stalled need not say so
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
        ],
        now,
        error=error(job, Failure("INVALID_REQUEST", why.message, why.suggestion)),
        message=why.message,
    )


def failed(status: BatchJobStatus, why: JobError, now: datetime) -> BatchJobStatus:
    """The end of a job none of whose pods lives: what was in work is pending again."""
    reason = Reason.of_code(why.code)
    counts = status.input_progress
    if counts is not None:
        idle = counts.model_copy(update={"pending": counts.pending + counts.processing, "processing": 0})
        status = status.model_copy(update={"input_progress": idle})
    return moved(
        status,
        JobStatus.FAILED,
        [
            (ConditionType.RUNNING, False, reason, ""),
            (ConditionType.FAILED, True, reason, why.message),
            (ConditionType.FINISHED, True, reason, why.message),
            *(ADMITTED if status.ledger is not None else ADMITTED[1:]),
        ],
        now,
        failed_at=now,
        error=why,
        message=why.message,
        ledger=_without_stopping(status.ledger),
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
        completed_at=now,
        error=None,
        message=message,
    )


def _without_stopping(ledger: Ledger | None) -> Ledger | None:
    return ledger.model_copy(update={"stopping": None}) if ledger else None


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


def as_written(status: BatchJobStatus) -> dict[str, Any]:
    """The status as JSON: absent means the API's null."""
    return status.model_dump(mode="json", exclude_none=True)


def due(
    job: BatchJob, wanted: BatchJobStatus, now: datetime, interval: timedelta
) -> tuple[BatchJobStatus | None, timedelta | None]:
    """(status to write or None, time until a held back write is due or None).

    Nothing is written that does not differ; ``updated_at`` never moves alone; mere progress waits until
    `interval` after the last write (design sections 1 and 5).
    """
    wanted = wanted.model_copy(update={"observedGeneration": job.generation, "updated_at": job.status.updated_at})
    before, after = as_written(job.status), as_written(wanted)
    if before == after:
        return None, None
    last = job.status.updated_at
    if last is not None and _without_progress(before) == _without_progress(after):
        wait = min(last + interval - now, interval)  # a clock that was set back must not hold it for longer
        if wait > timedelta(0):
            return None, wait
    return wanted.model_copy(update={"updated_at": now}), None


def _without_progress(status: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in status.items() if key not in _PROGRESS_FIELDS}
    ledger = {key: value for key, value in status.get("ledger", {}).items() if key not in _PROGRESS_LEDGER}
    return kept | {"ledger": ledger}
