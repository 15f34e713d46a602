"""One queue's cycle: its waiting jobs in the order of the one key, each admitted, or promised quota, or blocked.

The key is effective priority, then the namespace's weighted dominant share, then `queued_at`. Shares rise as jobs are
admitted, so the order is found while going along: a heap of kinds, i.e. of jobs alike in all but name and age, of which
only the first is looked at. What does not fit will not fit later in the same cycle, so a blocked kind is dropped whole:
that is what keeps ten thousand waiting jobs cheap.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heapreplace

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from batch_operator.scheduling.decisions import Reservation, Victim
from batch_operator.scheduling.making_room import MakingRoom
from batch_operator.scheduling.observed import DISPLACE_AFTER, ENDING_PATIENCE, Holder, Kind, WaitingJob
from batch_operator.scheduling.preemption import Candidate, choose
from batch_operator.scheduling.priorities import Levels
from batch_operator.scheduling.room import Room
from batch_operator.scheduling.shares import Needs, Shares

NEVER = -(2**31) - 1
"""Below every priority."""


@dataclass
class Line:
    """The state of one queue during one cycle; afterwards, its outcome."""

    queue: QueueRecord
    holders: list[Holder]
    kinds: list[Kind]
    """Those in line."""
    now: datetime
    displace_after: timedelta = DISPLACE_AFTER
    room: Room | None = None
    """What the nodes have left; None: the queue does not ask."""
    levels: Levels = field(init=False)
    shares: Shares = field(init=False)
    free: list[int] = field(init=False)
    """By place in the quota; less than zero where a quota was lowered."""
    coming: list[int] = field(init=False)
    """What will come free, because its pods are being ended, and is not promised yet."""
    admitted: list[WaitingJob] = field(default_factory=list)
    claims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By uid of the job that waits for a preemption: the names of those that give way."""
    victims: list[Victim] = field(default_factory=list)
    reservation: Reservation | None = None
    blocker: WaitingJob | None = None
    """StrictFIFO: the first in line."""
    promised: list[int] = field(init=False)
    """What is free, but kept for those that wait for a preemption."""
    wake_at: set[datetime] = field(default_factory=set)
    without_room: set[str] = field(default_factory=set)
    """Shapes that no nodes are left for: there is only ever less in one cycle."""

    def __post_init__(self) -> None:
        quota = self.queue.quota
        self.levels = Levels({kind.first.priority for kind in self.kinds} | {h.priority for h in self.holders})
        self.shares = Shares(quota, self.queue.weights)
        self.free = list(quota.values())
        self.coming = [0] * len(quota)
        self.promised = [0] * len(quota)
        self._giving: dict[str, list[Holder]] = {}
        self._count_holders()
        for holder in self.holders:
            if holder.ending_since is None:
                continue
            needs = self.shares.needs_of(holder)
            if (due := holder.ending_since + holder.grace + ENDING_PATIENCE) > self.now:
                self.wake_at.add(due)
                _give(self.coming, needs)
                self._giving.setdefault(holder.preempted_for, []).append(holder)
        self._giving.pop("", None)
        self._cheapest: list[Candidate] | None = None
        self._hopeless: dict[str, int] = {}
        self._withheld: set[int] = set()
        self._making_room = MakingRoom(self.room) if self.room is not None else None

    def _count_holders(self) -> None:
        """Thousands hold the same: one sum for all of a namespace that are alike."""
        alike: dict[tuple[str, str], list[Holder]] = {}
        for holder in self.holders:
            alike.setdefault((holder.namespace, holder.shape), []).append(holder)
        for (namespace, _), holders in alike.items():
            needs = tuple((place, len(holders) * amount) for place, amount in self.shares.needs_of(holders[0]))
            self.shares.add(namespace, needs)
            _take(self.free, needs)

    def needs_of(self, job: WaitingJob) -> Needs:
        return self.shares.needs_of(job)

    def level_of(self, job: WaitingJob) -> int:
        return self.levels.effective(job.priority, job.preemptions)

    def run(self) -> None:
        """Goes down the line once.

        What was blocked once is blocked for all that ask for the same and have no better right to displace others.
        """
        heap = [
            (-self.level_of(jobs[0]), self.shares.of(jobs[0].namespace), jobs[0].order, jobs, 0)
            for jobs in self._candidates()
        ]
        heapify(heap)
        waits: list[WaitingJob] = []
        blocked: dict[str, int] = {}
        while heap and self.blocker is None:
            level, share, order, jobs, place = heap[0]
            job = jobs[place]
            if self.reservation is not None and job.priority <= blocked.get(job.shape, NEVER):
                heappop(heap)
                continue
            actual = self.shares.of(job.namespace)
            if actual != share:  # it rose since
                heapreplace(heap, (level, actual, order, jobs, place))
                continue
            admitted = self._admits(job)
            promised = not admitted and self._promises(job)
            if promised:
                waits.append(job)
            if not admitted and self.queue.strategy is Strategy.STRICT_FIFO:
                self.blocker = job
            elif not admitted and not promised:
                blocked[job.shape] = max(job.priority, blocked.get(job.shape, NEVER))
                self._reserve(job)
            if (admitted or promised) and place + 1 < len(jobs):
                heapreplace(heap, (level, self.shares.of(job.namespace), jobs[place + 1].order, jobs, place + 1))
            else:
                heappop(heap)
        for job in waits:  # they hold nothing yet
            self.shares.remove(job.namespace, self.needs_of(job))

    def _candidates(self) -> Iterator[Sequence[WaitingJob]]:
        """Kinds without jobs in back-off. A job that others give way to already is alone in its own."""
        for kind in self.kinds:
            able: Sequence[WaitingJob] = kind.jobs
            if kind.first.not_before is not None:
                self.wake_at.update(job.not_before for job in able if job.not_before and job.not_before > self.now)
                able = [job for job in able if job.not_before is None or job.not_before <= self.now]
            if self._giving:
                yield from ([job] for job in able if job.uid in self._giving)
                able = [job for job in able if job.uid not in self._giving]
            if able:
                yield able

    def _admits(self, job: WaitingJob) -> bool:
        needs = self.needs_of(job)
        if not _fits(needs, self.free) or job.shape in self.without_room:
            return False
        if self.room is not None and not self.room.admit(job.pods):
            self.without_room.add(job.shape)
            return False
        self.admitted.append(job)
        self.shares.add(job.namespace, needs)
        _take(self.free, needs)
        return True

    def _promises(self, job: WaitingJob) -> bool:
        """Whether others end, or would have to, so that it fits: then what it needs is kept for it.

        Not behind a reservation that lacks the same: what comes free goes there, and one after the other would have to
        give way in vain.
        """
        needs = self.needs_of(job)
        behind = any(place in self._withheld for place, _ in needs)
        if behind or self.queue.preemption is not Preemption.LOWER_PRIORITY:
            return False
        giving = self._giving.get(job.uid, ())
        names = tuple(f"{holder.namespace}/{holder.name}" for holder in giving)
        early = [holder.uid for holder in giving]
        kept = self._kept_on_nodes(job, (), early) if _fits(needs, self._soon()) else None
        if kept is None:
            victims = self._victims(job, needs)
            kept = self._kept_on_nodes(job, [candidate.holder.uid for candidate in victims], early) if victims else None
            if kept is None:
                return False
            for candidate in victims:
                self._cheapest_first().remove(candidate)
            if self._making_room is not None:
                self._making_room.take(victims)
            if (due := (job.waiting_since or job.queued_at) + self.displace_after) > self.now:
                self.wake_at.add(due)
                if self.room is not None:
                    self._claim_on_nodes(job, needs, names, kept, victims)
                    return True
            else:
                names += self._displace(job, [candidate.holder for candidate in victims])
        self._claim(job, needs, names, kept)
        return True

    def _kept_on_nodes(self, job: WaitingJob, victims: list[str] | tuple[()], early: list[str]) -> list[int] | None:
        """By place, how much of what is free now it takes; None: the nodes have no room for it."""
        most = self._by_place(job)
        if self.room is None:
            return most
        kept = self.room.promise(job.pods, victims, early)
        return None if kept is None else self._on_nodes(kept, most)

    def _by_place(self, job: WaitingJob) -> list[int]:
        amounts = [0] * len(self.free)
        for place, amount in self.needs_of(job):
            amounts[place] = amount
        return amounts

    def _on_nodes(self, kept: Mapping[str, int], most: list[int]) -> list[int]:
        assert self.room is not None, "asked where nodes count"
        return [
            kept.get(resource, 0) if self.room.limits(resource) else amount
            for resource, amount in zip(self.queue.quota, most, strict=True)
        ]

    def _soon(self) -> list[int]:
        return [free + coming for free, coming in zip(self.free, self.coming, strict=True)]

    def _claim_on_nodes(
        self, job: WaitingJob, needs: Needs, names: tuple[str, ...], kept: list[int], victims: list[Candidate]
    ) -> None:
        """Before the victims have to go: what they will give need not be kept of what is free, which is elsewhere."""
        before = list(self.coming)
        for candidate in victims:
            _give(self.coming, candidate.needs)
        self._claim(job, needs, names, kept)
        self.coming = list(map(min, before, self.coming))

    def _claim(self, job: WaitingJob, needs: Needs, names: tuple[str, ...], kept: list[int]) -> None:
        """Nobody behind it gets what it waits for: first what is free, then what comes free. `kept`: so much of what
        is free, or more where too little comes free."""
        for place, amount in needs:
            least = amount - max(self.coming[place], 0)
            now = min(max(self.free[place], 0), max(kept[place], least))
            self.free[place] -= now
            self.promised[place] += now
            self.coming[place] -= min(max(self.coming[place], 0), amount - now)
        self.shares.add(job.namespace, needs)
        self.claims[job.uid] = names

    def _victims(self, job: WaitingJob, needs: Needs) -> list[Candidate]:
        """Who would have to give way; empty: that does not help."""
        hopeless = self._hopeless.get(job.shape)
        if hopeless is not None and job.priority <= hopeless:
            return []
        if self._making_room is None:
            chosen = choose(needs, self._soon(), self._displaceable(job))
        else:
            chosen = self._making_room.choose(job, needs, self._soon(), lambda: self._displaceable(job))
        if not chosen:
            self._hopeless[job.shape] = job.priority
        return chosen

    def _displace(self, job: WaitingJob, victims: list[Holder]) -> tuple[str, ...]:
        for holder in victims:
            _give(self.coming, self.shares.needs_of(holder))
            if self.room is not None:
                self.room.release(holder.uid)
            self.victims.append(
                Victim(holder.uid, "Preempted", job.uid, f"gives way to {job.namespace}/{job.name}, of higher priority")
            )
        return tuple(f"{holder.namespace}/{holder.name}" for holder in victims)

    def _displaceable(self, job: WaitingJob) -> Iterator[Candidate]:
        latest = self.now - self.queue.min_runtime
        for candidate in self._cheapest_first():
            if candidate.level >= job.priority:
                return
            if candidate.holder.admitted_at > latest:
                self.wake_at.add(candidate.holder.admitted_at + self.queue.min_runtime)
            else:
                yield candidate

    def _cheapest_first(self) -> list[Candidate]:
        """Lowest priority, newest admitted."""
        if self._cheapest is None:
            self._cheapest = [
                Candidate(self.levels.effective(h.priority, h.preemptions), h, self.shares.needs_of(h))
                for h in self.holders
                if h.ending_since is None
            ]
            self._cheapest.sort(key=lambda c: (c.level, -c.holder.admitted_at.timestamp(), c.holder.uid))
        return self._cheapest

    def _reserve(self, job: WaitingJob) -> None:
        """Holds back what is free for the first blocked job that has waited too long: smaller ones would starve it."""
        if self.reservation is not None:
            return
        due = (job.waiting_since or job.queued_at) + self.queue.reserve_after
        if due > self.now:
            self.wake_at.add(due)
            return
        held: dict[str, int] = {}
        resources = list(self.queue.quota)
        most = self._by_place(job)
        if self.room is not None:  # the rest is held by what has to end there
            most = self._on_nodes(self.room.reserve(job.pods), most)
        for place, amount in self.needs_of(job):
            if amount > self.free[place]:
                self._withheld.add(place)
            if (now := min(max(self.free[place], 0), most[place])) > 0:
                self.free[place] -= now
                held[resources[place]] = now
        self.reservation = Reservation(job.uid, held)


def _fits(needs: Needs, available: list[int]) -> bool:
    return all(amount <= available[place] for place, amount in needs)


def _take(amounts: list[int], needs: Needs) -> None:
    for place, amount in needs:
        amounts[place] -= amount


def _give(amounts: list[int], needs: Needs) -> None:
    for place, amount in needs:
        amounts[place] += amount
