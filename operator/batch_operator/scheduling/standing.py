"""Which waiting jobs stand in line at all, and what holds back the others. First of the fixed precedence of Why."""

from functools import cached_property

from batch_operator.api import quantities
from batch_operator.api.v1alpha1.batch_queue import DEFAULT_QUEUE, NAMESPACE_NAME_LABEL, QueueRecord, Stop
from batch_operator.scheduling import nodes
from batch_operator.scheduling.decisions import Pending, Why
from batch_operator.scheduling.observed import ENDING_PATIENCE, Cluster, PodSet, WaitingJob
from batch_operator.scheduling.room import Room

_SUSPENDED = Pending(Why.SUSPENDED)


class Standing:
    """Asked once per queue, namespace and shape: thousands of jobs ask for the same."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._admits: dict[tuple[str, str], Pending | None] = {}
        self._shapes: dict[tuple[str, str, str], tuple[Pending | None, str]] = {}
        self._classes: list[nodes.NodeClass] | None = None
        self._placeable: dict[str, str] = {}
        self._room: Room | None = None

    @cached_property
    def _asked(self) -> list[tuple[PodSet, ...]]:
        """By the waiting jobs, each shape once."""
        return list({kind.first.shape: kind.first.pods for kind in self._cluster.kinds}.values())

    @property
    def room(self) -> Room | None:
        """What the nodes have left; None: no queue asks, or they are not known."""
        seen = self._cluster
        if self._room is None and seen.nodes is not None and any(q.require_matching_node for q in seen.queues.values()):
            pods = [*self._asked, *(holder.pods for holder in seen.holders)]
            self._room = Room(seen.nodes, seen.holders, pods, seen.now, ENDING_PATIENCE)
        return self._room

    def queue(self, name: str) -> QueueRecord | None:
        found = self._cluster.queues.get(name)
        return QueueRecord(DEFAULT_QUEUE) if found is None and name == DEFAULT_QUEUE else found

    def of(self, job: WaitingJob) -> Pending | None:
        """Why the job is in no line; None: it is. A stopped queue has a line that does not move."""
        if job.suspended:
            return _SUSPENDED
        key = (job.queue, job.namespace, job.shape)
        known = self._shapes.get(key)
        if known is None:
            known = self._shapes[key] = self._judge(job)
        return known[0]

    def remark(self, job: WaitingJob) -> str:
        """Of a job in line: that no node could hold its largest pod."""
        return self._shapes[(job.queue, job.namespace, job.shape)][1]

    def _judge(self, job: WaitingJob) -> tuple[Pending | None, str]:
        queue = self.queue(job.queue)
        outside = self._outside(queue, job)
        if outside is not None or queue is None:
            return outside, ""
        if queue.stop is Stop.NONE and (excess := _excess(job, queue)):
            return Pending(Why.EXCEEDS_MAX_QUOTA, excess), ""
        remark = self._unplaceable(job)
        if queue.require_matching_node and queue.stop is Stop.NONE:
            if not remark and self.room is not None and not self.room.could_hold(job.pods):
                remark = nodes.too_few(job.pods)
            if remark:
                return Pending(Why.NO_MATCHING_NODE, remark, no_node=remark), remark
        return None, remark

    def _outside(self, queue: QueueRecord | None, job: WaitingJob) -> Pending | None:
        key = (job.queue, job.namespace)
        if key not in self._admits:
            self._admits[key] = self._enters(queue, job)
        return self._admits[key]

    def _enters(self, queue: QueueRecord | None, job: WaitingJob) -> Pending | None:
        if queue is None:
            return Pending(Why.QUEUE_NOT_FOUND, f"there is no Queue {job.queue}")
        if queue.selector is not None:
            known = self._cluster.namespaces.get(job.namespace)
            if known is None and queue.selector.asks_for_labels:  # NotIn would hold of what is not known
                return Pending(
                    Why.QUEUE_NOT_FOUND,
                    f"Queue {queue.name} selects by labels, and those of namespace {job.namespace} are not known "
                    "(chart value queues.namespaceLabels.enabled)",
                )
            if not queue.selector.selects({**(known or {}), NAMESPACE_NAME_LABEL: job.namespace}):
                return Pending(
                    Why.QUEUE_NOT_FOUND, f"Queue {queue.name} is not open to namespace {job.namespace} (its selector)"
                )
        return None

    def _unplaceable(self, job: WaitingJob) -> str:
        if self._cluster.nodes is None:
            return ""
        if self._classes is None:
            self._classes = nodes.classes(self._cluster.nodes, (p for pods in self._asked for p in pods))
        if job.shape not in self._placeable:
            self._placeable[job.shape] = nodes.unplaceable(job.pods, self._classes)
        return self._placeable[job.shape]


def stopped(queue: QueueRecord) -> Pending | None:
    """Why the whole line stands still; None: it does not."""
    if queue.problem:
        return Pending(Why.QUEUE_STOPPED, f"Queue {queue.name} cannot be read: {queue.problem}")
    if queue.stop is not Stop.NONE:
        return Pending(Why.QUEUE_STOPPED, f"Queue {queue.name} is stopped (spec.stop: {queue.stop})")
    return None


def _excess(job: WaitingJob, queue: QueueRecord) -> str:
    return "; ".join(
        f"asks for {quantities.words(resource, amount)} {resource}, "
        f"the quota of Queue {queue.name} is {quantities.words(resource, queue.quota[resource])}"
        for resource, amount in job.request.items()
        if resource in queue.quota and amount > queue.quota[resource]
    )
