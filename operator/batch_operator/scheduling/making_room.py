"""Which admitted jobs give way so that all pods of another one have room on the nodes, and its quota is there too.

Nodes are compared as a whole: of those where one pod more would fit, the one whose victims are of the lowest priority,
then the smallest, then the newest admitted. What is found out of a node is kept until the node changes: a cycle may ask
for thousands of jobs.
"""

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from batch_operator.scheduling.layer import Asked
from batch_operator.scheduling.observed import WaitingJob
from batch_operator.scheduling.preemption import Candidate, choose
from batch_operator.scheduling.room import Room
from batch_operator.scheduling.shares import Needs


class Step(NamedTuple):
    """Room for more pods on a node, and what it costs."""

    dearest: int
    """Level of the dearest victim."""
    size: int
    rank: int
    """Of the dearest, among all from the cheapest on."""
    pods: int
    victims: tuple[Candidate, ...]


class _Nodes:
    """What pods of one kind, of jobs of one priority, would cost where."""

    def __init__(self, room: Room, asked: Asked, candidates: Iterable[Candidate], taken: set[Candidate]) -> None:
        self._room = room
        self._asked = asked
        self._taken = taken
        self._on_node: dict[int, list[tuple[int, Candidate]]] = {}
        for rank, candidate in enumerate(candidates):
            for node in {part.node for part in room.placed[candidate.holder.uid]}:
                self._on_node.setdefault(node, []).append((rank, candidate))
        self._nodes = [node for node, known in enumerate(room.classes) if known in asked.able]
        self._known: dict[int, tuple[tuple[int, ...], int, list[Step]]] = {}

    def victims(self) -> list[Candidate] | None:
        """None: not even all together are enough."""
        free, missing = self._room.soon.free, self._asked.count
        heap: list[tuple[tuple[int, int, int], int, int, list[Step]]] = []
        for node in self._nodes:
            known = self._known.get(node)
            if known is None or known[0] is not free[node]:
                known = self._known[node] = (free[node], self._asked.slots(free[node]), self._steps(node))
            missing -= known[1]
            if known[2]:
                heap.append((known[2][0][:3], node, 0, known[2]))
        heapify(heap)
        victims: dict[Candidate, None] = {}
        while missing > 0:
            if not heap:
                return None
            _, node, number, steps = heap[0]
            victims.update(dict.fromkeys(steps[number].victims))
            missing -= steps[number].pods
            if number + 1 < len(steps):
                heapreplace(heap, (steps[number + 1][:3], node, number + 1, steps))
            else:
                heappop(heap)
        return list(victims)

    def _steps(self, node: int) -> list[Step]:
        """One pod more after the other, up to as many as could be needed."""
        free = list(self._room.soon.free[node])
        slots = self._asked.slots(free)
        gone: list[tuple[int, Candidate]] = []
        steps: list[Step] = []
        for rank, candidate in self._on_node.get(node, ()):
            if candidate in self._taken:
                continue
            self._leave(candidate, node, free, 1)
            gone.append((rank, candidate))
            if self._asked.slots(free) <= slots:
                continue
            needed: list[tuple[int, Candidate]] = []
            for entry in gone[::-1]:  # the dearest first is spared
                self._leave(entry[1], node, free, -1)
                if self._asked.slots(free) <= slots:
                    self._leave(entry[1], node, free, 1)
                    needed.append(entry)
            gone = [entry for entry in gone if entry not in needed]
            more = self._asked.slots(free) - slots
            slots += more
            for _, other in gone:
                self._leave(other, node, free, 1)
            size = sum(sum(amount for _, amount in other.needs[:1]) for _, other in needed)
            steps.append(Step(needed[0][1].level, size, needed[0][0], more, tuple(other for _, other in needed)))
            if sum(step.pods for step in steps) >= self._asked.count:
                break
        return steps

    def _leave(self, candidate: Candidate, node: int, free: list[int], sign: int) -> None:
        for at, each, pods in self._room.placed[candidate.holder.uid]:
            if at == node:
                for place, amount in each:
                    free[place] += amount * pods * sign


class MakingRoom:
    """Of one line, during one cycle."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken: set[Candidate] = set()
        self._nodes: dict[tuple[str, int], list[_Nodes]] = {}

    def take(self, victims: Iterable[Candidate]) -> None:
        """They go for somebody else."""
        self._taken.update(victims)

    def choose(
        self, job: WaitingJob, needs: Needs, available: Sequence[int], candidates: Callable[[], Iterable[Candidate]]
    ) -> list[Candidate]:
        """The victims; empty: that does not help. `available`: quota that is or comes free."""
        lacks = any(amount > available[place] for place, amount in needs)
        first = choose(needs, available, candidates()) if lacks else []
        if lacks and not first:
            return []
        if lacks and self._is_enough(job, first):
            return first
        on_nodes = self._on_nodes(job, candidates)
        if on_nodes is None:
            return []
        after = list(available)
        for candidate in on_nodes:
            for place, amount in candidate.needs:
                after[place] += amount
        if any(amount > after[place] for place, amount in needs):
            mine = set(on_nodes)
            on_nodes += choose(needs, after, (c for c in candidates() if c not in mine))
        return self._least(job, needs, available, on_nodes)

    def _on_nodes(self, job: WaitingJob, candidates: Callable[[], Iterable[Candidate]]) -> list[Candidate] | None:
        """Of a job with several kinds of pods each is looked at as if it were alone, and then all together."""
        key = (job.shape, job.priority)
        if key not in self._nodes:
            able = list(candidates())
            self._nodes[key] = [_Nodes(self._room, asked, able, self._taken) for asked in self._room.asked(job.pods)]
        victims: dict[Candidate, None] = {}
        for pods in self._nodes[key]:
            found = pods.victims()
            if found is None:
                return None
            victims.update(dict.fromkeys(found))
        if len(self._nodes[key]) < 2 or self._is_enough(job, victims):
            return list(victims)
        for candidate in candidates():  # they want the same room
            if candidate not in victims:
                victims[candidate] = None
                if self._is_enough(job, victims):
                    return list(victims)
        return None

    def _least(
        self, job: WaitingJob, needs: Needs, available: Sequence[int], chosen: list[Candidate]
    ) -> list[Candidate]:
        """Without those that are not needed, the dearest first."""
        if len(chosen) < 2:
            return chosen
        dearest = sorted(chosen, key=lambda c: (-c.level, c.holder.admitted_at, c.holder.uid))
        left = list(chosen)
        over = list(available)
        for candidate in chosen:
            for place, amount in candidate.needs:
                over[place] += amount
        for candidate in dearest:
            rest = [other for other in left if other is not candidate]
            given = dict(candidate.needs)
            if all(amount <= over[place] - given.get(place, 0) for place, amount in needs) and self._is_enough(
                job, rest
            ):
                left = rest
                for place, amount in candidate.needs:
                    over[place] -= amount
        return left

    def _is_enough(self, job: WaitingJob, victims: Iterable[Candidate]) -> bool:
        """Whether all pods of the job then have room."""
        return self._room.would_hold(job.pods, [candidate.holder.uid for candidate in victims])
