"""Nodes by what is left of them. Those that are alike are looked at once: five hundred are a few dozen groups.

Pods go to the fullest node that holds them, as the cluster's own scheduler puts them where it scores by MostAllocated.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Amounts = tuple[tuple[int, int], ...]
"""(place of the resource, amount), first what is counted in pieces, such as GPUs."""
UNLIMITED = 10**12


class Part(NamedTuple):
    """Some of a job's pods on a node."""

    node: int
    each: Amounts
    pods: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Pods that are alike, as Room sees them."""

    each: Amounts
    able: frozenset[int]
    """Classes of nodes that could hold one if they were empty."""
    count: int

    def slots(self, free: Sequence[int]) -> int:
        """How many pods fit in it."""
        return max(min([free[place] // amount for place, amount in self.each], default=UNLIMITED), 0)


class Layer:
    """What is left of each node, at one moment; less than zero where others were promised what is in use still."""

    def __init__(self, classes: Sequence[int], free: Iterable[tuple[int, ...]]) -> None:
        self._classes = classes
        self.free = list(free)
        self.groups: dict[tuple[int, tuple[int, ...]], dict[int, None]] = {}
        for node, key in enumerate(zip(classes, self.free, strict=True)):
            self.groups.setdefault(key, {})[node] = None

    def copy(self) -> "Layer":
        return Layer(self._classes, self.free)

    def change(self, node: int, each: Amounts, times: int) -> None:
        """`times` less than zero: it is taken."""
        free = list(self.free[node])
        for place, amount in each:
            free[place] += amount * times
        self._set(node, tuple(free))

    def put(self, parts: Iterable[Part], sign: int) -> None:
        """Back, or, with -1, there."""
        for node, each, pods in parts:
            self.change(node, each, pods * sign)

    def keep(self, node: int, each: Amounts, times: int) -> list[tuple[int, int]]:
        """Takes as much of it as is there -> by place, how much that is."""
        free, kept = list(self.free[node]), []
        for place, amount in each:
            kept.append((place, min(max(free[place], 0), amount * times)))
            free[place] -= kept[-1][1]
        self._set(node, tuple(free))
        return kept

    def _set(self, node: int, free: tuple[int, ...]) -> None:
        known = self._classes[node]
        group = self.groups[known, self.free[node]]
        del group[node]
        if not group:
            del self.groups[known, self.free[node]]
        self.free[node] = free
        self.groups.setdefault((known, free), {})[node] = None

    def take(self, asked: Sequence[Asked], first: Collection[int] = ()) -> list[Part] | None:
        """Room for all the pods, which is then gone; None: there is none. `first`: nodes to begin with."""
        parts: list[Part] = []
        for pods in asked:
            found = self._fill(pods, first)
            if found is None:
                self.put(parts, 1)
                return None
            self.put(found, -1)
            parts += found
        return parts

    def _fill(self, pods: Asked, first: Collection[int]) -> list[Part] | None:
        able: list[tuple[bool, tuple[int, ...], int, int, Iterable[int]]] = []
        for (known, free), members in self.groups.items():
            if known not in pods.able or not (slots := pods.slots(free)):
                continue
            fullness = tuple([free[place] for place, _ in pods.each])
            early = [node for node in first if node in members] if first else []
            able += [(False, fullness, node, slots, (node,)) for node in early]
            rest: Collection[int] = [node for node in members if node not in early] if early else members
            if rest:
                able.append((True, fullness, next(iter(rest)), slots, rest))
        able.sort(key=lambda a: a[:3])
        left = pods.count
        parts: list[Part] = []
        for _, _, _, slots, among in able:
            for node in among:
                if not left:
                    return parts
                parts.append(Part(node, pods.each, min(slots, left)))
                left -= parts[-1].pods
        return None if left else parts
