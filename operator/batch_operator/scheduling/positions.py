"""The place in line, and the steps in which it is told.

The place is the order in which the jobs would be admitted if quota came free and nothing else happened: of two
namespaces that wait, each admission raises the share of one, so their jobs take turns by weight.
"""

from collections.abc import Iterable, Sequence

from batch_operator.scheduling.observed import Kind
from batch_operator.scheduling.shares import Shares
from batch_operator.scheduling.waiting import merged

EXACT = 10


def step(position: int) -> int:
    """As it is written in status: exact to 10, then rounded up to one significant digit (20 … 90, 100 … 900)."""
    if position <= EXACT:
        return position
    unit = int(f"1{'0' * (len(str(position)) - 1)}")
    return -(-position // unit) * unit


def in_line(kinds: Iterable[tuple[int, Kind]], shares: Shares) -> Sequence[str]:
    """The uids in order. `kinds`: with their effective priority; `shares`: as they stand.

    A namespace's share before each of its jobs only grows, so taking the least again and again is the same as
    sorting by it; and among jobs of one namespace age decides.
    """
    levels: dict[int, dict[str, list[Kind]]] = {}
    for level, kind in kinds:
        levels.setdefault(level, {}).setdefault(kind.first.namespace, []).append(kind)
    ahead: dict[str, Sequence[int]] = {}
    result: list[str] = []
    for level in sorted(levels, reverse=True):
        order: list[tuple[float, tuple[float, str]]] = []
        for namespace, alike in levels[level].items():
            used = ahead.get(namespace) or shares.used(namespace)
            ahead[namespace] = shares.after(used, alike)
            if len(levels[level]) == 1:
                result += alike[0].uids if len(alike) == 1 else merged(tuple(alike)).uids
                break
            waiting = merged(tuple(alike))
            order += zip(shares.growth(namespace, used, alike, waiting.shapes), waiting.orders, strict=True)
        order.sort()
        result += [uid for _, (_, uid) in order]
    return result
