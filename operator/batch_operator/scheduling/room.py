"""Where the pods of jobs are, and would be: what the nodes have left, for queues with `require_matching_node`.

Such a queue admits a job only where all its pods have room. The lines of one cycle share one Room, which is asked by
scheduling.line and scheduling.preemption. Only the operator's own pods are known.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heapreplace

from batch_operator.scheduling import nodes as known_nodes
from batch_operator.scheduling.decisions import Shortage
from batch_operator.scheduling.layer import UNLIMITED, Amounts, Asked, Layer, Part
from batch_operator.scheduling.observed import PODS, Holder, Node, PodSet


class Room:
    """The nodes during one cycle. `pods`: all that may be asked about."""

    def __init__(
        self,
        nodes: Iterable[Node],
        holders: Iterable[Holder],
        pods: Iterable[Iterable[PodSet]],
        now: datetime,
        patience: timedelta,
    ) -> None:
        self._nodes = sorted(nodes, key=lambda node: node.name)
        selecting = {key for sets in pods for p in sets for key, _ in (*p.node_selector, *p.labels_above)}
        resources = sorted({r for node in self._nodes for r in node.allocatable}, key=lambda r: ("/" not in r, r))
        self._places = {resource: place for place, resource in enumerate(resources)}
        self._pods_place = self._places.get(PODS)
        self._resources = resources
        numbers: dict[object, int] = {}
        self.classes: list[int] = []
        self._examples: list[known_nodes.NodeClass] = []
        for node in self._nodes:
            labels = {key: node.labels[key] for key in sorted(selecting) if key in node.labels}
            key = (tuple(sorted(node.allocatable.items())), tuple(labels.items()))
            if key not in numbers:
                numbers[key] = len(numbers)
                self._examples.append(known_nodes.NodeClass(dict(node.allocatable), labels))
            self.classes.append(numbers[key])
        self._asked: dict[PodSet, Asked] = {}
        self._by_pods: dict[tuple[PodSet, ...], list[Asked]] = {}
        self._empty = Layer(self.classes, (self._whole(node) for node in self._nodes))
        self._holders = list(holders)
        self._due = {
            h.uid for h in self._holders if h.ending_since is not None and h.ending_since + h.grace + patience > now
        }
        self.placed: dict[str, list[Part]] = {}
        """By holder: where its pods are, or will be as far as one can tell."""
        self.now = self._in_use()
        self._soon: Layer | None = None

    def _whole(self, node: Node) -> tuple[int, ...]:
        return tuple(node.allocatable.get(r, UNLIMITED if r == PODS else 0) for r in self._resources)

    def _in_use(self) -> Layer:
        """First the pods that have a node, then those that wait for one, in the order in which they get it."""
        numbers = {node.name: number for number, node in enumerate(self._nodes)}
        whole = zip(self._nodes, self._empty.free, strict=True)
        free = [list(amounts) if node.ready else [0] * len(amounts) for node, amounts in whole]
        for holder in self._holders:
            parts = self.placed[holder.uid] = []
            for name, pods in holder.placed:
                if (node := numbers.get(name)) is None:
                    continue
                part = Part(node, self._amounts(pods), pods.count)
                parts.append(part)
                for place, amount in part.each:
                    free[node][place] -= amount * pods.count
        layer = Layer(self.classes, map(tuple, free))
        for holder in sorted(self._holders, key=lambda h: (-h.priority, h.admitted_at, h.uid)):
            if holder.unplaced and holder.ending_since is None:
                self.placed[holder.uid] += self._as_many(layer, holder.unplaced)
        return layer

    def _as_many(self, layer: Layer, pods: Iterable[PodSet]) -> list[Part]:
        parts: list[Part] = []
        for asked in self.asked(tuple(pods)):
            found = layer.take((asked,))
            one = Asked(asked.each, asked.able, 1)
            parts += found or [part for _ in range(asked.count) for part in layer.take((one,)) or ()]
        return parts

    @property
    def soon(self) -> Layer:
        """With what will come free, because its pods are being ended."""
        if self._soon is None:
            self._soon = self.now.copy()
            for uid in sorted(self._due):
                self._soon.put(self.placed[uid], 1)
        return self._soon

    def asked(self, pods: tuple[PodSet, ...]) -> list[Asked]:
        """The largest first."""
        found = self._by_pods.get(pods)
        if found is None:
            found = self._by_pods[pods] = [self._of(podset) for podset in pods if podset.count]
            found.sort(key=lambda asked: [*dict(asked.each).values()], reverse=True)
        return found

    def _of(self, podset: PodSet) -> Asked:
        known = self._asked.get(podset)
        if known is None:
            able = frozenset(n for n, example in enumerate(self._examples) if known_nodes.holds(example, podset))
            known = self._asked[podset] = Asked(self._amounts(podset), able, podset.count)
        return known

    def _amounts(self, podset: PodSet) -> Amounts:
        amounts = {self._places[r]: amount for r, amount in podset.requests if amount and r in self._places}
        if self._pods_place is not None:
            amounts[self._pods_place] = 1000
        return tuple(sorted(amounts.items()))

    # -- what a line asks and does

    def could_hold(self, pods: tuple[PodSet, ...]) -> bool:
        """Whether all the pods had room at once if the nodes were empty."""
        parts = self._empty.take(self.asked(pods))
        self._empty.put(parts or (), 1)
        return parts is not None

    def admit(self, pods: tuple[PodSet, ...]) -> bool:
        """Takes the room, where there is enough for all the pods."""
        parts = self.now.take(self.asked(pods))
        if parts is None:
            return False
        if self._soon is not None:
            self._soon.put(parts, -1)
        return True

    def assume(self, pods: tuple[PodSet, ...]) -> None:
        """Of a job that was admitted without a look at the nodes."""
        parts = self._as_many(self.now, pods)
        if self._soon is not None:
            self._soon.put(parts, -1)

    def release(self, uid: str) -> None:
        """The holder is being ended."""
        self.soon.put(self.placed[uid], 1)

    def would_hold(self, pods: tuple[PodSet, ...], instead_of: Sequence[str]) -> bool:
        """Whether the pods have room once these holders are gone, and what is being ended."""
        for uid in instead_of:
            self.soon.put(self.placed[uid], 1)
        parts = self.soon.take(self.asked(pods))
        self.soon.put(parts or (), 1)
        for uid in instead_of:
            self.soon.put(self.placed[uid], -1)
        return parts is not None

    def promise(
        self, pods: tuple[PodSet, ...], instead_of: Iterable[str] = (), first: Iterable[str] = ()
    ) -> dict[str, int] | None:
        """Keeps what the pods need for them, of what is or comes free -> how much of it is free now, by resource; None:
        it is not enough. `instead_of`: holders that will have to go; `first`: those whose nodes are to be taken."""
        leaving = list(instead_of)
        for uid in leaving:
            self.soon.put(self.placed[uid], 1)
        early = {part.node for uid in (*first, *leaving) for part in self.placed.get(uid, ())}
        parts = self.soon.take(self.asked(pods), sorted(early)) or self.soon.take(self.asked(pods))
        for uid in leaving:
            self.soon.put(self.placed[uid], -1)
        return None if parts is None else self._keep(parts)

    def reserve(self, pods: tuple[PodSet, ...]) -> dict[str, int]:
        """Keeps the nodes on which least has to end before they hold the pods -> how much is free there now."""
        parts: list[Part] = []
        for asked in self.asked(pods):
            parts += self._least(asked)
        self.soon.put(parts, -1)
        return self._keep(parts)

    def _least(self, asked: Asked) -> list[Part]:
        heap = []
        for node, known in enumerate(self.classes):
            if known in asked.able and (most := asked.slots(self._empty.free[node])):
                heap.append((*self._lacking(asked, node, 0), node, 0, most))
        heapify(heap)
        counts: dict[int, int] = {}
        for _ in range(asked.count):
            if not heap:
                break
            _, _, node, taken, most = heap[0]
            counts[node] = taken + 1
            if taken + 1 < most:
                heapreplace(heap, (*self._lacking(asked, node, taken + 1), node, taken + 1, most))
            else:
                heappop(heap)
        return [Part(node, asked.each, count) for node, count in sorted(counts.items())]

    def _lacking(self, asked: Asked, node: int, taken: int) -> tuple[list[int], list[int]]:
        """What has to end there before one more fits; and what is left then."""
        free = self.soon.free[node]
        over = [free[place] - (taken + 1) * amount for place, amount in asked.each]
        return [max(-left, 0) for left in over], over

    def _keep(self, parts: Iterable[Part]) -> dict[str, int]:
        kept: dict[str, int] = {}
        for node, each, count in parts:
            for place, amount in self.now.keep(node, each, count):
                resource = self._resources[place]
                kept[resource] = kept.get(resource, 0) + amount
        return kept

    def limits(self, resource: str) -> bool:
        return resource in self._places

    def shortage(self, pods: tuple[PodSet, ...]) -> tuple[Shortage, ...]:
        """Of pods for which there is no room: what they ask for, and what is left. Where each kind has room by itself,
        but not all together, of all."""
        asking = [podset for podset in pods if podset.count]
        lacking = [podset for podset in asking if not self._has_room_for(podset)]
        return tuple(dict.fromkeys(self._shortage(podset) for podset in lacking or asking))

    def _has_room_for(self, podset: PodSet) -> bool:
        parts = self.now.take((self._of(podset),))
        self.now.put(parts or (), 1)
        return parts is not None

    def _shortage(self, podset: PodSet) -> Shortage:
        asked = self._of(podset)
        each = tuple((self._resources[place], amount) for place, amount in asked.each if place != self._pods_place)
        first = asked.each[0][0] if asked.each else 0
        left = [
            (free[first], len(members))
            for (known, free), members in self.now.groups.items()
            if known in asked.able and free[first] > 0
        ]
        return Shortage(podset.count, each, sum(free * nodes for free, nodes in left), sum(n for _, n in left))
