"""`Scheduler`: what the queues decide. A chore of the workqueue, or run by the pass of a job that asks while nothing
else is to be done; handlers.telling says it to those who wait.

It keeps an entry (reconcile.queue_entry) of each job that waits or holds quota, made anew when the job or its pods
change. A cycle hands a frozen picture of them to scheduling.schedule, and enqueues the jobs whose turn it is. What was
decided and no status says yet is laid over the entries, so that no cycle gives the same quota away twice, or displaces
twice for the same job.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from batch_operator.api.v1alpha1.batch_queue import QueueRecord, Stop
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.words import shortened
from batch_operator.cluster.gather import LABELS_AGE
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Chore, Key
from batch_operator.handlers.telling import Entry, Telling
from batch_operator.reconcile import queue_entry
from batch_operator.scheduling.decisions import Victim
from batch_operator.scheduling.observed import DISPLACE_AFTER, Cluster, Holder, Node, WaitingJob
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.waiting import Waiting
from batch_operator.snapshot import Displaced, NodeRecord, PodRecord

NOTE_SECONDS = 0.5
"""A job's entry is made of all its pods, and each pod of a thousand changes four times."""
SHARE_OF_TIME = 5
"""A cycle that computed for 10 ms is followed by 40 ms for everything else. Time in which the process waited for a
processor, or was stopped, does not count: it would wait for four times that once more."""

log = structlog.get_logger(__name__)


class Scheduler:
    """`now`: the wall clock of the reconciles, whole seconds; `clock`: monotonic seconds; `cpu`: seconds that this
    thread has computed."""

    def __init__(
        self,
        seen: Observations,
        queue: WorkQueue[Key],
        now: Callable[[], datetime],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
        displace_after: timedelta = DISPLACE_AFTER,
    ) -> None:
        self._seen = seen
        self._queue = queue
        self._now = now
        self._clock = clock
        self._cpu = cpu
        self._displace_after = displace_after
        self._metrics = metrics
        self._entries: dict[str, Entry] = {}
        self._made_of: dict[str, _Made] = {}
        self._pods_changed: set[str] = set()
        """Owners whose entries may be older than their pods; no cycle begins with one."""
        self._holders: dict[str, Holder] = {}
        self._waiting = Waiting()
        self.telling = Telling(seen, queue, self._entries, now, clock)
        self._asks: dict[str, WaitingJob] = {}
        self._answered: set[str] = set()
        self._displaced_at: dict[str, datetime] = {}
        self._not_before = 0.0
        self._labels_used: dict[str, Mapping[str, str]] = {}
        self._lookouts: dict[str, str] = {}
        self._nodes: tuple[Node, ...] | None = None
        seen.jobs.subscribe(self._job_changed)
        seen.pods.subscribe(self._pod_changed)
        seen.queues.subscribe(self._queue_changed)
        seen.nodes.subscribe(self._node_changed)

    # -- what changes the picture

    def ask(self, job: BatchJob, asks: WaitingJob) -> bool:
        """A job without a status, resolved, wants to know its turn -> whether it was answered at once, as it is where
        no cycle was lately and nobody else waits; else the next one answers it with others, and enqueues it."""
        known = self._seen.jobs.get(job.uid)
        if known is None or known.resource_version != job.resource_version:
            return False  # it asks for what it was; its next pass asks anew
        if self._asks.get(job.uid) != asks:
            self._answered.discard(job.uid)
        self._asks[job.uid] = asks
        self._renew(job.uid)
        if len(self._queue) or self._clock() < self._not_before:
            self._wake()
            return False
        self.run(asks=job.uid)
        return True

    def _job_changed(self, old: BatchJob | None, new: BatchJob | None) -> None:
        job = new or old
        assert job is not None, "a change has an old or a new side"
        self._asks.pop(job.uid, None)  # made of what the job was; its pass asks again
        self._answered.discard(job.uid)
        if new is None:
            self.telling.forget(job.uid)
        self._note(job.uid)

    def _pod_changed(self, old: PodRecord | None, new: PodRecord | None) -> None:
        if _counts(old) != _counts(new):
            self._pods_changed.update(pod.owner_uid for pod in (old, new) if pod is not None)
            self._queue.add_after(Chore.NOTE, NOTE_SECONDS)
            if new and new.node and any(queue.require_matching_node for queue in self._seen.queues.values()):
                self._wake()  # where it is does not tell entries apart

    def _queue_changed(self, old: QueueRecord | None, new: QueueRecord | None) -> None:
        queue = new or old
        assert queue is not None, "a change has an old or a new side"
        if old is not None and new is not None and old.generation == new.generation:
            return  # our own status
        if new is None:
            self.telling.forget_queue(queue.name)
        if queue.asks_for_labels:
            for entry in self._entries.values():
                if isinstance(entry, WaitingJob) and entry.queue == queue.name:
                    self._queue.add((entry.namespace, entry.name))  # its pass reads its namespace
        self._wake()

    def _node_changed(self, old: NodeRecord | None, new: NodeRecord | None) -> None:
        if old is None or new is None or _offers(old) != _offers(new):
            self._nodes = None
            self._wake()

    def note(self) -> None:
        """The entries of all whose pods have changed, as they are now; a cycle follows where one differs."""
        if self._look_at_pods():
            self._wake()

    def _look_at_pods(self) -> bool:
        changed = [self._renew(uid) for uid in tuple(self._pods_changed)]
        return any(changed)

    def _note(self, uid: str) -> None:
        """The job's entry as it is now."""
        if self._renew(uid):
            self._wake()

    def _renew(self, uid: str) -> bool:
        """-> whether the entry has become another."""
        self._pods_changed.discard(uid)
        if not uid:
            return False
        job, pods, asks = self._seen.jobs.get(uid), self._seen.pods.by_owner(uid), self._asks.get(uid)
        gone = tuple([pod.uid for pod in pods if pod.uid in self._seen.pods_given_up])
        made_of = (job, pods, asks, gone)
        if _is_same(self._made_of.get(uid), made_of):
            return False
        entry = _entry(uid, job, pods, asks, gone)
        if entry is None:
            self._made_of.pop(uid, None)
        else:
            self._made_of[uid] = made_of
        before = self._entries.get(uid)
        if entry != before or isinstance(entry, Holder):  # one that is equal may yet have got nodes for its pods
            self._keep(uid, before, entry)
        return entry != before

    def _keep(self, uid: str, before: Entry | None, entry: Entry | None) -> None:
        self._holders.pop(uid, None)
        if isinstance(before, WaitingJob):
            self._waiting.remove(before)
        if entry is None:
            del self._entries[uid]
            return
        self._entries[uid] = entry
        if isinstance(entry, WaitingJob):
            self._waiting.add(entry)
            self.telling.waits(uid)
        else:
            self._holders[uid] = entry

    def _wake(self) -> None:
        self._queue.add_after(Chore.SCHEDULE, self._not_before - self._clock())

    # -- one cycle

    def run(self, asks: str = "") -> None:
        """Decides, and enqueues whom it concerns but `asks`, the job whose pass waits for it."""
        began, computed = self._clock(), self._cpu()
        self._look_at_pods()
        self._forget_what_status_says()
        cluster = self._cluster()
        self._look_out_for_labels(cluster)
        decisions = schedule(cluster)
        for uid in decisions.admit:
            job = self._entries[uid]
            assert isinstance(job, WaitingJob), "only those are admitted"
            self._seen.granted[uid] = job
            self._decided(job, "Admitted", f"its turn in Queue {job.queue}", enqueue=uid != asks)
        for victim in decisions.preempt:
            if victim.uid in self._seen.granted:
                continue  # once its status says that it is admitted, if it must go still
            self._seen.displaced[victim.uid] = self._displacement(victim)
            self._displaced_at[victim.uid] = cluster.now
            self._decided(self._entries[victim.uid], "Preempted", victim.detail)
        for uid in self._asks.keys() - self._answered:
            if uid in decisions.pending:  # one that has no status yet is told at once
                self._answered.add(uid)
                if uid != asks:
                    self._queue.add((self._asks[uid].namespace, self._asks[uid].name))
        self._seen.decisions = decisions
        self.telling.decided(decisions)
        if decisions.next_at is not None:
            self._queue.add_after(Chore.SCHEDULE, (decisions.next_at - cluster.now).total_seconds())
        ended = self._clock()
        self._not_before = ended + (SHARE_OF_TIME - 1) * (self._cpu() - computed)
        self._metrics.scheduled(ended - began)

    def _look_out_for_labels(self, cluster: Cluster) -> None:
        """Namespaces are not watched. Where a Queue selects by their labels, one waiting job of each has its passes
        anyhow, which read the labels again."""
        asking = {name for name, queue in cluster.queues.items() if queue.asks_for_labels}
        self._lookouts = {}
        for job in cluster.waiting if asking else ():
            if job.queue in asking and self._lookouts.setdefault(job.namespace, job.uid) == job.uid:
                self._queue.add_after((job.namespace, job.name), LABELS_AGE.total_seconds())

    def _displacement(self, victim: Victim) -> Displaced:
        entry = self._entries[victim.uid]
        admitted_at = entry.admitted_at if isinstance(entry, Holder) else None
        return Displaced(victim.detail, victim.preemptor, admitted_at)

    def _decided(self, entry: Entry, reason: str, words: str, *, enqueue: bool = True) -> None:
        log.info(words, namespace=entry.namespace, name=entry.name, reason=reason, queue=entry.queue)
        if enqueue:
            self._queue.add((entry.namespace, entry.name), first=True)

    def _forget_what_status_says(self) -> None:
        """A decision stands until the job's status says it, or the job asks for something else: a pass that carries it
        out may be under way, however often the job is written meanwhile."""
        seen = self._seen
        for uid, granted in list(seen.granted.items()):
            if not self._may_still_be_admitted(uid, granted):
                del seen.granted[uid]
        for uid, displaced in list(seen.displaced.items()):
            entry = self._entries.get(uid)
            if (
                not isinstance(entry, Holder)
                or entry.ending_since is not None
                or displaced.admitted_at not in (None, entry.admitted_at)
                or not self._must_still_go(uid, displaced)
            ):
                del seen.displaced[uid]
                self._displaced_at.pop(uid, None)

    def _may_still_be_admitted(self, uid: str, granted: WaitingJob) -> bool:
        job, entry = self._seen.jobs.get(uid), self._entries.get(uid)
        if job is None or job.deleting or job.status.has_ended:
            return False
        if entry is None:  # it was written before its first admission: its pass admits it, or asks anew
            return not job.spec.suspend and job.spec.queue == granted.queue
        if isinstance(entry, WaitingJob):
            return not entry.suspended and (entry.queue, entry.shape) == (granted.queue, granted.shape)
        # it holds: by its status, or pods of an earlier round have come up
        return queue_entry.is_new_or_waiting(job.status)

    def _must_still_go(self, uid: str, displaced: Displaced) -> bool:
        if displaced.preemptor:
            wants = isinstance(self._entries.get(displaced.preemptor), WaitingJob)
            return wants and displaced.preemptor not in self._seen.granted
        queue = self._seen.queues.get_by_name("", self._entries[uid].queue)
        return queue is not None and queue.stop is Stop.HOLD_AND_DRAIN

    def _cluster(self) -> Cluster:
        seen, now = self._seen, self._now()
        self._labels_used = {
            name: labels for name in seen.namespace_labels if (labels := self._labels(name)) is not None
        }
        assumed: dict[str, Holder] = {}
        for uid, granted in seen.granted.items():
            assumed[uid] = _assumed(granted, self._entries.get(uid), now)
        for uid, displaced in seen.displaced.items():
            holder = self._holders.get(uid)
            if holder is not None and holder.ending_since is None and uid not in seen.granted:
                since = self._displaced_at[uid]
                assumed[uid] = replace(holder, ending_since=since, preempted_for=displaced.preemptor)
        if self._nodes is None:
            self._nodes = tuple(_node(record) for record in seen.nodes.values() if _offers(record)[0])
        asked = [entry for uid in seen.granted if isinstance(entry := self._entries.get(uid), WaitingJob)]
        return Cluster(
            now=now,
            queues={record.name: record for record in seen.queues.values()},
            kinds=self._waiting.kinds(without=asked),
            holders=tuple((self._holders | assumed).values()),
            namespaces=self._labels_used,
            nodes=self._nodes,
            displace_after=self._displace_after,
        )

    def _labels(self, namespace: str) -> Mapping[str, str] | None:
        known = self._seen.namespace_labels.get(namespace)
        return known.labels if known is not None else None

    # -- what a pass says of itself

    def passed(self, job: BatchJob) -> None:
        """A pass over the job went well: whatever it was to tell is written, and it has looked at its pods' nodes."""
        self.telling.told(job.uid)
        self._note(job.uid)
        if self._entries.get(job.uid) is None and self._seen.granted.pop(job.uid, None) is not None:
            self._wake()  # it asks for nothing any more
        if self._labels(job.namespace) != self._labels_used.get(job.namespace):
            self._wake()
        elif self._lookouts.get(job.namespace) == job.uid:
            self._queue.add_after((job.namespace, job.name), LABELS_AGE.total_seconds())


_Made = tuple[BatchJob | None, tuple[PodRecord, ...], WaitingJob | None, tuple[str, ...]]
"""What an entry is made of: the job, its pods, what it asks for, the uids of those of its pods whose node is gone."""


def _is_same(before: _Made | None, now: _Made) -> bool:
    """Records are never changed in place, so that the same ones make the same entry."""
    return before is not None and before[0] is now[0] and before[1:] == now[1:]


def _entry(
    uid: str, job: BatchJob | None, pods: tuple[PodRecord, ...], asks: WaitingJob | None, gone: tuple[str, ...]
) -> Entry | None:
    if job is None:
        return queue_entry.orphaned(uid, pods)
    try:
        return queue_entry.entry(job, pods, gone, asks)
    except (ValueError, KeyError) as error:  # somebody wrote its ledger; its pods still hold what they hold
        words = f"its ledger cannot be read: {shortened(str(error), 200)}"
        log.warning(words, namespace=job.namespace, name=job.name, reason="UnreadableStatus")
        return queue_entry.orphaned(uid, pods)


def _assumed(granted: WaitingJob, entry: Entry | None, now: datetime) -> Holder:
    """A job that is admitted, though no status says so yet; `entry`: pods of an earlier round may be left."""
    beside, placed = (entry.pods, entry.placed) if isinstance(entry, Holder) else ((), ())
    return Holder(
        uid=granted.uid,
        namespace=granted.namespace,
        name=granted.name,
        queue=granted.queue,
        pods=(*granted.pods, *beside),
        placed=placed,
        admitted_at=now,
        priority=granted.priority,
        preemptions=granted.preemptions,
    )


def _counts(pod: PodRecord | None) -> tuple[object, ...]:
    """What of a pod its job's entry is made of."""
    return (pod.owner_uid, pod.is_live, pod.deletion_asked_at, pod.node) if pod is not None else ("", False, None, "")


def _offers(record: NodeRecord) -> tuple[object, ...]:
    return (record.takes_pods and not record.out_of_service, record.ready, record.allocatable, record.labels)


def _node(record: NodeRecord) -> Node:
    return Node(record.name, dict(record.allocatable), record.labels, record.ready)
