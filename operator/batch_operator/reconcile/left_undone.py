"""Which jobs a process that has just started must look at first: those whose pods are not as their status has them.

A pass over each of ten thousand jobs takes many seconds, and most of them need nothing. Read off what is stored,
without a pass; a job that is overlooked here only comes later. Called by handlers.own_kinds.
"""

from collections.abc import Iterable

from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.reconcile import pods_of_job, queue_entry, rounds
from batch_operator.snapshot import PodRecord


def is_likely(job: BatchJob, pods: Iterable[PodRecord]) -> bool:
    """It is new, or was to be ended, or a pod of an index that is open is missing, lost or has ended."""
    status = job.status
    if job.deleting or status.has_ended or job.unreadable_status:
        return False
    if status.status is None:
        return True
    if queue_entry.is_waiting(status) or status.ledger is None:
        return False  # its queue calls it
    if status.ledger.stopping is not None:
        return True
    try:
        known = rounds.read(status.ledger.components)
    except ValueError:  # somebody wrote it; its pass says so
        return False
    live = {place: pod for place, pod in rounds.current_pods(pods, known).items() if pod.is_live}
    return bool(pods_of_job.missing_places(known, live))
