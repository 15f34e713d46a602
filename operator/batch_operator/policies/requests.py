"""Requests by annotation, handled once per value: cancel and retry (design section 1).

An annotation that was there when a job was made counts too; one that is taken away is no request. Called by reconcile.
"""

from batch_operator.api.v1alpha1.batchjob import BatchJob, HandledRequests, JobStatus, Ledger


def cancel(job: BatchJob) -> str:
    """The value of a request to cancel that is not answered yet; "" for none."""
    handled = _handled(job.status.ledger).cancel
    return job.cancel_requested if job.cancel_requested != (handled or "") else ""


def retry(job: BatchJob) -> str:
    """Likewise, of a request to retry."""
    handled = _handled(job.status.ledger).retry
    return job.retry_requested if job.retry_requested != (handled or "") else ""


def cancel_answered(ledger: Ledger | None, value: str) -> Ledger:
    ledger = ledger or Ledger()
    return ledger.model_copy(
        update={"handled_requests": _handled(ledger).model_copy(update={"cancel": value or _handled(ledger).cancel})}
    )


def retry_answered(ledger: Ledger | None, value: str) -> Ledger:
    ledger = ledger or Ledger()
    return ledger.model_copy(
        update={"handled_requests": _handled(ledger).model_copy(update={"retry": value or _handled(ledger).retry})}
    )


def refusal(job: BatchJob) -> str:
    """Why a request that the job has not answered cannot be granted in its state; "" where it can, or there is none."""
    state = job.status.status
    assert state is not None, "asked of jobs that have a status"
    if retry(job) and state in (JobStatus.FAILED, JobStatus.CANCELLED):
        return ""
    if state.is_terminal and cancel(job):
        return f"cannot cancel: the job is {state} already"
    if not retry(job):
        return ""
    if state is JobStatus.COMPLETED:
        return "cannot retry: the job is COMPLETED, nothing is left to do; apply a job of another name"
    return f"cannot retry: the job is {state}; only FAILED and CANCELLED jobs can be retried"


def _handled(ledger: Ledger | None) -> HandledRequests:
    return (ledger.handled_requests if ledger else None) or HandledRequests()
