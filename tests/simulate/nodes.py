"""Eight nodes of eight GPUs, and what the cluster's own scheduler does with the pods of admitted jobs.

It places pod by pod, higher priorities and older pods first; one that finds no place waits and blocks nobody. A job of
16 GPUs is two pods of eight. Full nodes first (score MostAllocated, as clusters for GPUs have it), or empty ones first.
"""

from bisect import insort
from dataclasses import dataclass, field

NODES = 8
GPUS_EACH = 8


@dataclass(order=True)
class Pod:
    rank: tuple[int, int]
    uid: str = field(compare=False)
    gpus: int = field(compare=False)


@dataclass
class Nodes:
    """`spread`: empty nodes first."""

    spread: bool = False
    free: list[int] = field(default_factory=lambda: [GPUS_EACH] * NODES)
    pending: list[Pod] = field(default_factory=list)
    placed: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By job: node and GPUs of its pods that have a place."""
    _number: int = 0

    def create(self, uid: str, gpus: int, priority: int) -> None:
        self.placed[uid] = []
        while gpus > 0:
            self._number += 1
            insort(self.pending, Pod((-priority, self._number), uid, min(gpus, GPUS_EACH)))
            gpus -= GPUS_EACH

    def delete(self, uid: str) -> None:
        for node, gpus in self.placed.pop(uid):
            self.free[node] += gpus
        self.pending = [pod for pod in self.pending if pod.uid != uid]

    def schedule(self) -> list[str]:
        """The jobs whose last pod has now found a place."""
        left: list[Pod] = []
        touched: dict[str, None] = {}
        for pod in self.pending:
            node = self._node_for(pod.gpus)
            if node is None:
                left.append(pod)
            else:
                self.free[node] -= pod.gpus
                self.placed[pod.uid].append((node, pod.gpus))
                touched[pod.uid] = None
        self.pending = left
        waiting = {pod.uid for pod in left}
        return [uid for uid in touched if uid not in waiting]

    def places(self, uid: str) -> list[tuple[str, int]]:
        return [(f"node-{node}", gpus) for node, gpus in self.placed[uid]]

    def _node_for(self, gpus: int) -> int | None:
        able = [(free, node) for node, free in enumerate(self.free) if free >= gpus]
        if not able:
            return None
        return (max if self.spread else min)(able)[1]
