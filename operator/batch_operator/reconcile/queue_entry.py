"""A job as the scheduler sees it: one that waits, or one that holds quota; read off the stored objects alone.

So a restarted operator knows who holds what as soon as it has listed jobs and pods. Called by handlers.scheduler for
every job that changes, by reconcile.batchjob for one that has no status yet, by reconcile.admission.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from batch_operator.api import quantities
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import (
    AdmissionLedger,
    BatchJob,
    BatchJobStatus,
    JobStatus,
    Ledger,
    PodRequest,
)
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason, find
from batch_operator.reconcile import rounds
from batch_operator.reconcile.rounds import Round
from batch_operator.resources import pod as pods_of
from batch_operator.scheduling.observed import Holder, PodSet, WaitingJob
from batch_operator.snapshot import PodRecord

LATEST = datetime(9000, 1, 1, tzinfo=UTC)
NOT_ASKED_YET = timedelta(days=1)
"""The grace of a job one of whose pods nobody has asked to go: where it is to end, its next pass does, and what it
holds is counted upon until then, however long ago that was decided."""
_AUTHORISED = (Reason.NAMESPACE_QUOTA, Reason.CREATE_REFUSED, Reason.HANDED_OVER)


def asked(file: JobFile, begun: Mapping[str, Round]) -> dict[str, PodRequest]:
    """What a round asks for, by component, as the ledger keeps it."""
    return {
        name: PodRequest(
            count=len(known.open_indexes),
            requests=pods_of.requests(file.components[name].resources) or None,
            node_selector=pods_of.node_selector(file.components[name]) or None,
            labels_above=pods_of.labels_above(file.components[name]) or None,
        )
        for name, known in begun.items()
    }


def shape(asks: Mapping[str, PodRequest]) -> str:
    """Equal for what asks for the same; as WaitingJob.shape."""
    return repr(_podsets(_as_asked(asks)))


def entry(
    job: BatchJob, pods: Iterable[PodRecord], gone: Collection[str] = (), asks: WaitingJob | None = None
) -> WaitingJob | Holder | None:
    """None: nothing that the queue need know of. `pods`: of this job; `gone`: uids of pods whose node is no more;
    `asks`: what a job without a ledger asks for."""
    live = [pod for pod in pods if pod.is_live and pod.uid not in gone]
    ledger = job.status.ledger
    if ledger is not None and ledger.handed_over is not None:
        return None  # Kueue counts its quota
    if ledger is None or ledger.admission is None or job.unreadable_status:
        return _of_pods(job, live, ledger) if live else None if job.deleting or job.status.has_ended else asks
    if job.deleting:  # it makes no more pods, and cannot be asked to give way
        return _of_pods(job, live, ledger) if live else None
    if not job.status.has_ended and not is_new_or_waiting(job.status):
        return _holder(job, ledger, ledger.admission, live)
    if live:
        return _of_pods(job, live, ledger)
    return None if job.status.has_ended else waiting(job)


def orphaned(uid: str, pods: Iterable[PodRecord]) -> Holder | None:
    """Of a job that is no more, whose pods are not gone yet."""
    live = [pod for pod in pods if pod.is_live]
    if not live:
        return None
    first = live[0]
    asked_to_go = [when for pod in live if (when := pod.deletion_asked_at or pod.created_at) is not None]
    assert first.created_at is not None, "the API server dates its pods"
    return Holder(
        uid=uid,
        namespace=first.namespace,
        name=first.job_name,
        queue=first.queue,
        pods=_sets(live),
        placed=_on_nodes(live),
        admitted_at=first.created_at,
        ending_since=max(asked_to_go),
        grace=_grace(live),
    )


def is_waiting(status: BatchJobStatus) -> bool:
    """PENDING and PREEMPTED jobs wait, but for those whose pods are authorised and only refused or gated."""
    if status.status not in (JobStatus.PENDING, JobStatus.PREEMPTED):
        return False
    admitted = find(status.conditions, ConditionType.ADMITTED)
    return admitted is None or admitted.reason not in _AUTHORISED


def is_new_or_waiting(status: BatchJobStatus) -> bool:
    """It has not been admitted, or not again."""
    return status.status is None or is_waiting(status)


def due(ledger: Ledger, known: Mapping[str, Round]) -> datetime | None:
    """When a job that waits may be admitted again, the end of its back-off; None: it has none."""
    waits = [r.next_retry.get(index) for r in known.values() for index in r.open_indexes]
    retries = [when for when in waits if when is not None]
    first = min(retries) if retries and len(retries) == len(waits) else None
    return max((m for m in (ledger.next_admission, first) if m is not None), default=None)


def waiting(job: BatchJob) -> WaitingJob:
    """A job whose ledger says what it asks for."""
    ledger = job.status.ledger
    assert ledger is not None, "it has asked"
    assert ledger.admission is not None, "it has asked"
    record = ledger.admission
    return WaitingJob(
        uid=job.uid,
        namespace=job.namespace,
        name=job.name,
        queue=job.spec.queue,
        pods=_podsets(_as_asked(record.pods)),
        queued_at=_countable(record.queued_at or job.created_at),
        priority=record.priority or 0,
        preemptions=_preemptions(job, ledger),
        suspended=bool(job.spec.suspend),
        not_before=due(ledger, rounds.read(ledger.components)),
        waiting_since=_countable(ledger.waiting_since) if ledger.waiting_since else None,
    )


def _holder(job: BatchJob, ledger: Ledger, record: AdmissionLedger, live: list[PodRecord]) -> Holder:
    """What status authorises, and what is there beside it: pods of earlier rounds and attempts."""
    stopping = ledger.stopping
    known = rounds.read(ledger.components) if stopping is None else {}
    current = {(name, i, r.attempt_of(i)) for name, r in known.items() for i in r.open_indexes}
    authorised = {name: (record.pods[name], len(r.open_indexes)) for name, r in known.items() if name in record.pods}
    beside = [pod for pod in live if (pod.component, pod.index, pod.attempt) not in current]
    return Holder(
        uid=job.uid,
        namespace=job.namespace,
        name=job.name,
        queue=record.queue or job.spec.queue,
        pods=(*_podsets(authorised), *_sets(beside)),
        placed=(*_in_place(authorised, (pod for pod in live if pod not in beside)), *_on_nodes(beside)),
        admitted_at=_countable(record.admitted_at or job.created_at),
        priority=record.priority or 0,
        preemptions=_preemptions(job, ledger),
        ending_since=_countable(max([stopping.since, *_asked_to_go(live)])) if stopping else None,
        grace=_grace(live) if stopping else timedelta(),
        preempted_for=(stopping.preemptor or "") if stopping else "",
    )


def _of_pods(job: BatchJob, live: list[PodRecord], ledger: Ledger | None) -> Holder:
    """Pods that are to go, of a job that has ended or waits."""
    left = orphaned(job.uid, live)
    assert left is not None, "asked where pods live"
    record = ledger.admission if ledger else None
    queue = left.queue or (record.queue if record else None) or job.spec.queue
    return replace(left, queue=queue, priority=(record.priority or 0) if record else 0)


def _countable(moment: datetime) -> datetime:
    """One to which a queue's times can be added, whatever somebody wrote into the ledger: one job must not stop the
    cycle of all."""
    return min(moment, LATEST)


def _asked_to_go(live: Iterable[PodRecord]) -> list[datetime]:
    return [pod.deletion_asked_at for pod in live if pod.deletion_asked_at is not None]


def _grace(live: list[PodRecord]) -> timedelta:
    """The longest time that a pod which was asked to go may take."""
    if any(pod.deletion_asked_at is None for pod in live):
        return NOT_ASKED_YET
    times = [
        pod.deletion_due - pod.deletion_asked_at
        for pod in live
        if pod.deletion_due is not None and pod.deletion_asked_at is not None
    ]
    return max(times, default=timedelta())


def _preemptions(job: BatchJob, ledger: Ledger) -> int:
    return (job.status.preemption_count or 0) - (ledger.preemption_base or 0)


def _podsets(asks: Mapping[str, tuple[PodRequest, int]]) -> tuple[PodSet, ...]:
    """`asks`: by component, what each of how many pods asks for."""
    return tuple([_podset(ask, count) for _, (ask, count) in sorted(asks.items()) if count])


def _as_asked(asks: Mapping[str, PodRequest]) -> dict[str, tuple[PodRequest, int]]:
    return {name: (ask, ask.count) for name, ask in asks.items()}


def _podset(ask: PodRequest, count: int) -> PodSet:
    return PodSet(
        count=count,
        requests=_amounts(tuple(sorted((ask.requests or {}).items()))),
        node_selector=tuple(sorted((ask.node_selector or {}).items())),
        labels_above=tuple(sorted((ask.labels_above or {}).items())),
    )


@lru_cache(maxsize=4096)
def _amounts(asked: tuple[tuple[str, str], ...]) -> tuple[tuple[str, int], ...]:
    return tuple((resource, quantities.parse(amount)) for resource, amount in asked)


def _in_place(asks: Mapping[str, tuple[PodRequest, int]], pods: Iterable[PodRecord]) -> tuple[tuple[str, PodSet], ...]:
    """Authorised pods that have a node, as they were asked for."""
    placed = Counter((pod.node, pod.component) for pod in pods if pod.node and pod.component in asks)
    return tuple([(node, _podset(asks[component][0], count)) for (node, component), count in sorted(placed.items())])


def _on_nodes(pods: Iterable[PodRecord]) -> tuple[tuple[str, PodSet], ...]:
    """Others that have a node."""
    placed = Counter((pod.node, pod.requests) for pod in pods if pod.node)
    return tuple((node, PodSet(count, requests)) for (node, requests), count in sorted(placed.items()))


def _sets(pods: Iterable[PodRecord]) -> tuple[PodSet, ...]:
    return tuple(PodSet(count, requests) for requests, count in Counter(pod.requests for pod in pods).items())
