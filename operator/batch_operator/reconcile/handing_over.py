"""A job that Kueue admits: its pods are made at once, and wait behind Kueue's scheduling gate.

No Queue of ours is asked, and none counts its quota. While the gate holds it back it is PENDING, reason HandedOver, and
no start timeout runs. Called by reconcile.batchjob for the first sight, by reconcile.admission and reconcile.running.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from batch_operator.api import kueue, names
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, HandedOver, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason
from batch_operator.api.words import shortened
from batch_operator.policies import hand_over
from batch_operator.policies.progress import Progress
from batch_operator.reconcile import pods_of_job, rounds
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Plan
from batch_operator.reconcile.rounds import Round
from batch_operator.resources import kueue as kueue_pods
from batch_operator.snapshot import JobSnapshot, PodRecord


def local_queue(job: BatchJob, seen: JobSnapshot) -> str:
    """The LocalQueue that decides on the job's admission; "": a Queue of ours does."""
    return hand_over.local_queue(job.kueue_queue, seen.namespace_labels)


def give(
    job: BatchJob,
    status: BatchJobStatus,
    file: JobFile,
    first: Mapping[str, Round],
    done: Progress,
    seen: JobSnapshot,
    now: datetime,
) -> tuple[Plan, BatchJobStatus]:
    """PENDING, with the round `first`; its pods are made in the same pass, once status says so."""
    ledger = status.ledger or Ledger()
    given = _given(job, ledger, first, local_queue(job, seen))
    ledger = ledger.model_copy(
        update={
            "components": rounds.written(first),
            "handed_over": given,
            "admission": None,
            "starting_since": None,
            "waiting_since": ledger.waiting_since or (job.created_at if status.status is None else now),
            "next_admission": None,
        }
    )
    made = _marked(pods_of_job.missing(job, file, first, {}, done.ended, seen.settings, now), given, first)
    message = _words(given)
    return Plan("HandedOver", message, pods=made), _pending(status, ledger, message, now)


def replacements(
    manifests: tuple[dict[str, Any], ...],
    given: HandedOver | None,
    known: Mapping[str, Round],
    pods: Iterable[PodRecord],
) -> tuple[dict[str, Any], ...]:
    """`manifests` of missing pods for Kueue; as they are where it was given nothing. `pods`: those of this round.

    None while others are being taken away: Kueue evicts a group whole, but its pods end one after the other, and what
    comes after them is to be a group again.
    """
    if given is None:
        return manifests
    leaving = any(p.is_live and (p.deleting or p.disruption) for p in pods)
    return () if leaving else _marked(manifests, given, known)


def _marked(
    manifests: tuple[dict[str, Any], ...], given: HandedOver, known: Mapping[str, Round]
) -> tuple[dict[str, Any], ...]:
    return tuple(kueue_pods.marked(m, given, is_replacement=_is_replacement(m, known)) for m in manifests)


def _is_replacement(manifest: Mapping[str, Any], known: Mapping[str, Round]) -> bool:
    labels = manifest["metadata"]["labels"]
    return bool(labels[names.ATTEMPT_LABEL] != str(known[labels[names.COMPONENT_LABEL]].attempt))


def held(status: BatchJobStatus, gated: Iterable[PodRecord], refused: str, now: datetime) -> BatchJobStatus:
    """No pod runs, and some are held back by their gates."""
    gated = list(gated)
    ledger = statuses.clocks_stopped(status.ledger or Ledger(), now)
    ledger = ledger.model_copy(update={"waiting_since": ledger.waiting_since or now})
    if ledger.handed_over is not None and any(p.gate == kueue.GATE for p in gated):
        message = _words(ledger.handed_over)
    else:
        message = f"its pods are held back by the scheduling gate {gated[0].gate}; whoever put it there must remove it"
    return _pending(status, ledger, shortened(message + refused), now)


def _given(job: BatchJob, ledger: Ledger, first: Mapping[str, Round], queue: str) -> HandedOver:
    """After a back-off the round goes on, and so does its group; a new round is a new group."""
    if ledger.handed_over is not None and any(r.next_retry for r in first.values()):
        return ledger.handed_over.model_copy(update={"queue": queue})
    count = sum(len(r.open_indexes) for r in first.values())
    if count < 2:
        return HandedOver(queue=queue)
    # attempts only grow, and every pod that was seen made one grow: no group's name is ever used again
    number = sum(r.attempt for r in first.values())
    return HandedOver(queue=queue, group=kueue.group_name(job.name, job.uid, number), pods=count)


def _words(given: HandedOver) -> str:
    workload = f", Workload {given.group}" if given.group else ""
    return f"handed over to Kueue: waiting for its admission (LocalQueue {given.queue}{workload})"


def _pending(status: BatchJobStatus, ledger: Ledger, message: str, now: datetime) -> BatchJobStatus:
    was_running = status.status is JobStatus.RUNNING
    return statuses.moved(
        status,
        JobStatus.PENDING,
        [
            *([(ConditionType.RUNNING, False, Reason.HANDED_OVER, "")] if was_running else []),
            (ConditionType.ADMITTED, False, Reason.HANDED_OVER, message),
            (ConditionType.STALLED, False, Reason.RESOLVED, ""),
            (ConditionType.SUSPENDED, False, Reason.RESUMED, ""),
            (ConditionType.PREEMPTED, False, Reason.HANDED_OVER, ""),
        ],
        now,
        message=message,
        error=None,
        ledger=ledger,
    )
