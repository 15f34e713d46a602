"""A job without pods waits for its admission: new, preempted, in back-off, retried or suspended.

So far nothing is scarce, and a job is admitted as soon as nothing holds it back. Called by reconcile.batchjob for the
first sight, by reconcile.running afterwards.
"""

from datetime import datetime

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.policies.effective_policy import EffectivePolicy
from batch_operator.policies.progress import Progress
from batch_operator.reconcile import pods_of_job, rounds, stopping
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Plan
from batch_operator.reconcile.rounds import Round
from batch_operator.snapshot import JobSnapshot

_REFUSED = (Reason.NAMESPACE_QUOTA, Reason.CREATE_REFUSED)


def is_waiting(status: BatchJobStatus) -> bool:
    """PENDING and PREEMPTED jobs wait, but for those whose pods are authorised and only refused."""
    if status.status not in (JobStatus.PENDING, JobStatus.PREEMPTED):
        return False
    admitted = next((c for c in status.conditions or () if c.type == ConditionType.ADMITTED), None)
    return admitted is None or admitted.reason not in _REFUSED


def wait(
    job: BatchJob,
    status: BatchJobStatus,
    file: JobFile,
    done: Progress,
    seen: JobSnapshot,
    policy: EffectivePolicy,
    now: datetime,
) -> tuple[Plan, BatchJobStatus]:
    """One pass over a waiting job: admitted, or how long it still waits, or failed for having waited too long."""
    ledger = status.ledger
    assert ledger is not None, "a resolved job has a ledger"
    living = [p for p in seen.pods if p.is_live]
    if living:  # a create whose answer was lost, or by an operator that was paused
        deletes = stopping.pod_deletes(living, seen, now, policy)
        words = f"{len(living)} pods of an earlier round are still ending"
        return Plan("Waiting", words, deletes=deletes, requeue_after=stopping.look_again(living, seen, now)), status
    if job.spec.suspend:
        return stopping.suspended(status, now)
    if ledger.waiting_since is None:  # suspended until now, or made by an operator that did not note it
        ledger = ledger.model_copy(update={"waiting_since": now})
        status = status.model_copy(update={"ledger": ledger})
    known = rounds.read(ledger.components)
    due = _due(ledger, known)
    if due is not None and due > now:
        return Plan("BackingOff", status.message or "", requeue_after=due - now), status
    return admit(job, status, file, begun(file, known, done), done, seen, now)


def begun(file: JobFile, known: dict[str, Round], done: Progress) -> dict[str, Round]:
    """The round with which a waiting job goes on: after a back-off the one that was, else a new one."""
    goes_on = any(r.next_retry for r in known.values())
    return known if goes_on else rounds.next_round(file, known, done.ended)


def _due(ledger: Ledger, known: dict[str, Round]) -> datetime | None:
    waits = [r.next_retry.get(index) for r in known.values() for index in r.open_indexes]
    retries = [when for when in waits if when is not None]
    first = min(retries) if retries and len(retries) == len(waits) else None
    return max((m for m in (ledger.next_admission, first) if m is not None), default=None)


def admit(
    job: BatchJob,
    status: BatchJobStatus,
    file: JobFile,
    first: dict[str, Round],
    done: Progress,
    seen: JobSnapshot,
    now: datetime,
) -> tuple[Plan, BatchJobStatus]:
    """ADMITTED, with the round `first`; its pods are made in the same pass, once status says so."""
    ledger = (status.ledger or Ledger()).model_copy(
        update={
            "components": rounds.written(first),
            "starting_since": now,
            "waiting_since": None,
            "next_admission": None,
        }
    )
    made = pods_of_job.missing(job, file, first, {}, done.ended, seen.settings, now)
    message = pods_of_job.starting_message(len(made))
    status = statuses.moved(
        status, JobStatus.ADMITTED, statuses.ADMITTED, now, message=message, error=None, ledger=ledger
    )
    return Plan("Admitted", message, pods=made), status
