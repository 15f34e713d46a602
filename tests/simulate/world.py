"""A cluster on a virtual clock: jobs arrive, are admitted, run for their time, give way, end.

Pods are of one GPU each, so what fits the quota has a place. A job that gives way ends at once or within GRACE, and
starts again with the inputs that it had not finished: what it loses is what it had done of the input at hand.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.observed import Cluster, Holder, PodSet, WaitingJob
from batch_operator.scheduling.schedule import admissions
from tests.simulate.load import Arrival

START = datetime(2026, 4, 13, tzinfo=UTC)
GPU = "nvidia.com/gpu"
GRACE = 30.0
INPUT_SECONDS = 300.0


@dataclass
class Run:
    """One job's fate."""

    arrival: Arrival
    left: float
    waiting_since: float = 0.0
    waited: float = 0.0
    admitted_at: float = 0.0
    preemptions: int = 0
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
    decide: Callable[[Cluster], Decisions] = admissions
    watch: Callable[[float, float, "World"], None] = lambda since, until, world: None
    runs: dict[str, Run] = field(default_factory=dict)
    waiting: dict[str, WaitingJob] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    cycles: int = 0
    _events: list[tuple[float, int, str, str, int]] = field(default_factory=list)
    _number: int = 0

    def run(self, until: float = float("inf")) -> None:
        """Until nothing is left to happen."""
        for arrival in self.arrivals:
            self.runs[arrival.uid] = Run(arrival, arrival.seconds)
            self._push(arrival.at, "arrives", arrival.uid)
        now = 0.0
        while self._events and self._events[0][0] <= until:
            before, now = now, self._events[0][0]
            self.watch(before, now, self)
            while self._events and self._events[0][0] == now:
                _, _, what, uid, attempt = heappop(self._events)
                self._happens(what, uid, attempt, now)
            self._cycle(now)

    def _push(self, at: float, what: str, uid: str = "", attempt: int = 0) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, what, uid, attempt))

    def _happens(self, what: str, uid: str, attempt: int, now: float) -> None:
        if what == "arrives":
            self._queue(uid, now)
        elif what == "ends" and uid in self.holders and self.runs[uid].preemptions == attempt:
            del self.holders[uid]
            self.runs[uid].ended_at = now
        elif what == "is gone":
            del self.holders[uid]
            self._queue(uid, now)

    def _queue(self, uid: str, now: float) -> None:
        run = self.runs[uid]
        arrival = run.arrival
        run.waiting_since = now
        self.waiting[uid] = WaitingJob(
            uid,
            arrival.namespace if self.fair else "all",
            uid,
            self.queue.name,
            _pods(arrival.gpus),
            moment(arrival.at),
            arrival.priority if self.prioritised else 0,
            run.preemptions,
            waiting_since=moment(now),
        )

    def _cycle(self, now: float) -> None:
        self.cycles += 1
        cluster = Cluster(
            moment(now), {self.queue.name: self.queue}, tuple(self.waiting.values()), tuple(self.holders.values())
        )
        decided = self.decide(cluster)
        for uid in decided.admit:
            job, run = self.waiting.pop(uid), self.runs[uid]
            run.waited += now - run.waiting_since
            run.admitted_at = now
            self.holders[uid] = Holder(
                uid, job.namespace, uid, job.queue, job.pods, moment(now), job.priority, job.preemptions
            )
            self._push(now + run.left, "ends", uid, run.preemptions)
        for victim in decided.preempt:
            self._gives_way(victim.uid, victim.preemptor, now)
        if decided.next_at is not None:
            self._push((decided.next_at - START).total_seconds(), "looks again")

    def _gives_way(self, uid: str, preemptor: str, now: float) -> None:
        run = self.runs[uid]
        ran = now - run.admitted_at
        done = ran - ran % min(INPUT_SECONDS, run.arrival.seconds)
        run.left -= done
        run.preemptions += 1
        run.lost += run.arrival.gpus * (ran - done + GRACE)
        run.lost_if_nothing_kept += run.arrival.gpus * (run.arrival.seconds - run.left + ran - done + GRACE)
        self.holders[uid] = replace(self.holders[uid], ending_since=moment(now), preempted_for=preemptor)
        self._push(now + GRACE, "is gone", uid)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


_PODS: dict[int, tuple[PodSet, ...]] = {}


def _pods(gpus: int) -> tuple[PodSet, ...]:
    return _PODS.setdefault(gpus, (PodSet(gpus, ((GPU, 1000),)),))
