"""A job without pods waits for its admission: new, preempted, in back-off, retried or suspended.

Whose turn it is decides its queue (scheduling), of all jobs at once; here a job takes its turn, or says what it waits
for. Called by reconcile.batchjob for the first sight, by reconcile.running afterwards.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from batch_operator.api import ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import AdmissionLedger, BatchJob, BatchJobStatus, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.policies import timeouts
from batch_operator.policies.effective_policy import EffectivePolicy
from batch_operator.policies.progress import Progress
from batch_operator.reconcile import handing_over, pods_of_job, queue_entry, rounds, stopping
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan
from batch_operator.reconcile.rounds import Round
from batch_operator.snapshot import JobSnapshot


def enter(
    job: BatchJob,
    status: BatchJobStatus,
    file: JobFile,
    done: Progress,
    seen: JobSnapshot,
    policy: EffectivePolicy,
    now: datetime,
) -> tuple[Plan, BatchJobStatus]:
    """A resolved job without a status: it asks its queue first, so that one write says what comes of it.

    `status`: the one it is to have, with its ledger.
    """
    if job.spec.suspend:
        return stopping.suspended(status, now)
    first = rounds.read(status.ledger.components if status.ledger else None)
    if handing_over.local_queue(job, seen):
        return handing_over.give(job, status, file, first, done, seen, now)
    status = _asking(status, file, first, seen.priority, waiting_since=_since(status) or job.created_at)
    if _is_granted(status, seen):
        return admit(job, status, file, first, done, seen, now)
    if seen.turn is None or not seen.turn.reason:
        ask = queue_entry.waiting(job.model_copy(update={"status": status}))
        return Plan("Asks", f"asks Queue {job.spec.queue} for its admission", ask=ask), status
    status = statuses.queued(status, seen.turn, now)
    return _stays(status, policy, now)


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
    known = rounds.read(ledger.components)
    first = begun(file, known, done.ended)
    due = queue_entry.due(ledger, known)
    backs_off = due is not None and due > now
    if not handing_over.local_queue(job, seen):
        status = _asking(status, file, first, seen.priority, waiting_since=_since(status) or now)
    elif not backs_off:
        return handing_over.give(job, status, file, first, done, seen, now)
    if not backs_off and _is_granted(status, seen):
        return admit(job, status, file, first, done, seen, now)
    if (failed := _waited_too_long(job, status, policy, now)) is not None:
        return failed
    if seen.turn is not None and seen.turn.reason and seen.turn.tell:
        status = statuses.queued(status, seen.turn, now)
    plan, status = _stays(status, policy, now)
    if due is None or not backs_off:
        return plan, status
    waits = [wait for wait in (plan.requeue_after, due - now) if wait is not None]
    return replace(plan, reason="BackingOff", requeue_after=min(waits)), status


def begun(file: JobFile, known: dict[str, Round], ended: Collection[int]) -> dict[str, Round]:
    """The round with which a waiting job goes on: after a back-off the one that was, else a new one."""
    goes_on = any(r.next_retry for r in known.values())
    return known if goes_on else rounds.next_round(file, known, ended)


def asking_again(status: BatchJobStatus, file: JobFile) -> BatchJobStatus:
    """A job that had pods and waits from now on: with what it asks for next, so that the write that says so is all."""
    ledger = status.ledger
    if ledger is None or ledger.admission is None:
        return status
    ended = ranges.parse(ledger.completed_inputs or "") | ranges.parse(ledger.failed_inputs or "")
    asks = queue_entry.asked(file, begun(file, rounds.read(ledger.components), ended))
    record = ledger.admission.model_copy(update={"pods": asks})
    return status.model_copy(update={"ledger": ledger.model_copy(update={"admission": record})})


def _asking(
    status: BatchJobStatus, file: JobFile, first: dict[str, Round], priority: int, waiting_since: datetime
) -> BatchJobStatus:
    """With what the job asks for as it is now: the round may have become smaller, the PriorityClass another."""
    ledger = status.ledger or Ledger()
    record = ledger.admission or AdmissionLedger(pods={})
    record = record.model_copy(update={"pods": queue_entry.asked(file, first), "priority": priority or None})
    return status.model_copy(
        update={
            "ledger": ledger.model_copy(
                update={"admission": record, "waiting_since": waiting_since, "handed_over": None}
            )
        }
    )


def _is_granted(status: BatchJobStatus, seen: JobSnapshot) -> bool:
    record = status.ledger.admission if status.ledger else None
    if seen.turn is None or not seen.turn.is_granted or record is None:
        return False
    return seen.turn.shape == queue_entry.shape(record.pods)


def _waited_too_long(
    job: BatchJob, status: BatchJobStatus, policy: EffectivePolicy, now: datetime
) -> tuple[Plan, BatchJobStatus] | None:
    due = timeouts.assign_due(_since(status), policy)
    if due is None or now < due:
        return None
    error = statuses.error(job, timeouts.assign_failure(policy, status.message or ""))
    event = Event("Warning", Reason.FAILED, error.message)
    return Plan("Failed", error.message, event=event), statuses.failed(status, error, now)


def _since(status: BatchJobStatus) -> datetime | None:
    return status.ledger.waiting_since if status.ledger else None


def _stays(status: BatchJobStatus, policy: EffectivePolicy, now: datetime) -> tuple[Plan, BatchJobStatus]:
    due = timeouts.assign_due(_since(status), policy)
    return Plan("Waiting", status.message or "", requeue_after=due - now if due else None), status


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
    ledger = status.ledger or Ledger()
    assert ledger.admission is not None, "it has asked"
    ledger = ledger.model_copy(
        update={
            "components": rounds.written(first),
            "admission": ledger.admission.model_copy(update={"queue": job.spec.queue, "admitted_at": now}),
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
