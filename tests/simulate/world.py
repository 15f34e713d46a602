"""A cluster on a virtual clock: jobs arrive, are admitted, find places on nodes, run for their time, give way, end.

Admission is decided by the operator's own scheduler; places are given by a model of the cluster's (nodes.py). A job
starts once all its pods have a place; one that has none for START_TIMEOUT goes back into the queue, as in the operator.
A job that gives way ends within GRACE, and starts again with the inputs that it had not finished: what it loses is what
it had done of the input at hand.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.observed import Cluster, Holder, Node, PodSet, WaitingJob
from batch_operator.scheduling.schedule import admissions
from batch_operator.scheduling.waiting import by_kind
from tests.simulate.load import Arrival
from tests.simulate.nodes import GPUS_EACH, Nodes

START = datetime(2026, 4, 13, tzinfo=UTC)
GPU = "nvidia.com/gpu"
GRACE = 30.0
INPUT_SECONDS = 300.0
START_TIMEOUT = 600.0
FIRST_DELAY = 60.0
"""After a start timeout; twice as long after each further one."""


@dataclass
class Run:
    """One job's fate."""

    arrival: Arrival
    left: float
    queued_at: float
    waiting_since: float = 0.0
    waited: float = 0.0
    """Without running: in the queue, or admitted without a place."""
    attempt: int = 0
    started_at: float | None = None
    """Of this attempt."""
    preemptions: int = 0
    start_timeouts: int = 0
    lost: float = 0.0
    """GPU-seconds whose work is done again, or in which a pod only ended."""
    lost_if_nothing_kept: float = 0.0
    ended_at: float | None = None


@dataclass
class World:
    """`watch` is told after each step how long it lasted: (from, to, world)."""

    queue: QueueRecord
    arrivals: Iterable[Arrival]
    fair: bool = True
    """False: all jobs are of one namespace, as far as the scheduler knows."""
    prioritised: bool = True
    nodes: Nodes | None = field(default_factory=Nodes)
    """None: what fits the quota has a place."""
    decide: Callable[[Cluster], Decisions] = admissions
    watch: Callable[[float, float, "World"], None] = lambda since, until, world: None
    runs: dict[str, Run] = field(default_factory=dict)
    waiting: dict[str, WaitingJob] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    cycles: int = 0
    wanted: dict[tuple[int, str], int] = field(default_factory=dict)
    """By priority and namespace: GPUs of all jobs that are there."""
    busy: dict[str, int] = field(default_factory=dict)
    """By namespace: GPUs of those that run, or end."""
    _events: list[tuple[float, int, str, str, int]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self._seen_nodes: tuple[Node, ...] | None = None
        if self.nodes is not None and self.queue.require_matching_node:
            self._seen_nodes = tuple(
                Node(f"node-{number}", {GPU: gpus * 1000}) for number, gpus in enumerate(self.nodes.free)
            )

    def run(self, until: float = float("inf")) -> None:
        """Until nothing is left to happen."""
        for arrival in self.arrivals:
            self.runs[arrival.uid] = Run(arrival, arrival.seconds, arrival.at, waiting_since=arrival.at)
            self._push(arrival.at, "arrives", arrival.uid)
        now = 0.0
        while self._events and self._events[0][0] <= until:
            before, now = now, self._events[0][0]
            self.watch(before, now, self)
            while self._events and self._events[0][0] == now:
                _, _, what, uid, attempt = heappop(self._events)
                self._happens(what, uid, attempt, now)
            self._place(now)
            self._cycle(now)

    def _push(self, at: float, what: str, uid: str = "", attempt: int = 0) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, what, uid, attempt))

    def _happens(self, what: str, uid: str, attempt: int, now: float) -> None:
        if what == "looks again":
            return
        run = self.runs[uid]
        if what == "arrives":
            self._want(run.arrival, 1)
            self._queue(run, now)
        elif run.attempt != attempt:  # it was ended before
            return
        elif what == "ends":
            self._release(run)
            self._want(run.arrival, -1)
            run.ended_at = now
        elif what == "is gone":
            self._release(run)
            self._queue(run, now)
        elif what == "start timeout" and run.started_at is None:
            run.start_timeouts += 1
            run.queued_at = now
            self._release(run)
            self._queue(run, now, FIRST_DELAY * 2 ** (run.start_timeouts - 1))

    def _release(self, run: Run) -> None:
        del self.holders[run.arrival.uid]
        if self.nodes is not None:
            self.nodes.delete(run.arrival.uid)
        if run.started_at is not None:
            self._use(run.arrival, -1)
        run.started_at = None
        run.attempt += 1

    def _queue(self, run: Run, now: float, delay: float = 0.0) -> None:
        arrival = run.arrival
        self.waiting[arrival.uid] = WaitingJob(
            arrival.uid,
            arrival.namespace if self.fair else "all",
            arrival.uid,
            self.queue.name,
            _pods(arrival.gpus),
            moment(run.queued_at),
            arrival.priority if self.prioritised else 0,
            run.preemptions,
            not_before=moment(now + delay) if delay else None,
            waiting_since=moment(now),
        )

    def _cycle(self, now: float) -> None:
        self.cycles += 1
        cluster = Cluster(
            moment(now),
            {self.queue.name: self.queue},
            by_kind(self.waiting.values()),
            tuple(self.holders.values()),
            nodes=self._seen_nodes,
        )
        decided = self.decide(cluster)
        for uid in decided.admit:
            self._admit(uid, now)
        if decided.admit:
            self._place(now)
        for victim in decided.preempt:
            self._gives_way(victim.uid, victim.preemptor, now)
        if decided.next_at is not None:
            self._push((decided.next_at - START).total_seconds(), "looks again")

    def _admit(self, uid: str, now: float) -> None:
        job, run = self.waiting.pop(uid), self.runs[uid]
        self.holders[uid] = Holder(
            uid, job.namespace, uid, job.queue, job.pods, moment(now), job.priority, job.preemptions
        )
        run.attempt += 1
        if self.nodes is None:
            self._start(uid, now)
        else:
            self.nodes.create(uid, run.arrival.gpus, job.priority)
            self._push(now + START_TIMEOUT, "start timeout", uid, run.attempt)

    def _place(self, now: float) -> None:
        if self.nodes is not None and self.nodes.pending:
            waited = {pod.uid for pod in self.nodes.pending}
            ready = self.nodes.schedule()
            for uid in waited if self._seen_nodes is not None else ():
                placed = tuple((node, _pods(gpus)[0]) for node, gpus in self.nodes.places(uid))
                self.holders[uid] = replace(self.holders[uid], placed=placed)
            for uid in ready:
                if self.holders[uid].ending_since is None:
                    self._start(uid, now)

    def _start(self, uid: str, now: float) -> None:
        run = self.runs[uid]
        run.started_at = now
        run.waited += now - run.waiting_since
        self._use(run.arrival, 1)
        self._push(now + run.left, "ends", uid, run.attempt)

    def _gives_way(self, uid: str, preemptor: str, now: float) -> None:
        run = self.runs[uid]
        run.preemptions += 1
        run.attempt += 1
        if run.started_at is not None:
            ran = now - run.started_at
            done = ran - ran % min(INPUT_SECONDS, run.arrival.seconds)
            run.left -= done
            run.lost += run.arrival.gpus * (ran - done + GRACE)
            run.lost_if_nothing_kept += run.arrival.gpus * (run.arrival.seconds - run.left + ran - done + GRACE)
            run.waiting_since = now
        self.holders[uid] = replace(self.holders[uid], ending_since=moment(now), preempted_for=preemptor)
        self._push(now + GRACE, "is gone", uid, run.attempt)

    def _want(self, arrival: Arrival, sign: int) -> None:
        key = (arrival.priority, arrival.namespace)
        self.wanted[key] = self.wanted.get(key, 0) + sign * arrival.gpus

    def _use(self, arrival: Arrival, sign: int) -> None:
        self.busy[arrival.namespace] = self.busy.get(arrival.namespace, 0) + sign * arrival.gpus


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


_PODS: dict[int, tuple[PodSet, ...]] = {}


def _pods(gpus: int) -> tuple[PodSet, ...]:
    each = min(gpus, GPUS_EACH)
    return _PODS.setdefault(gpus, (PodSet(gpus // each, ((GPU, each * 1000),)),))
