"""The place in line, and the steps in which it is told.

The place is the order in which the jobs would be admitted if quota came free and nothing else happened: of two
namespaces that wait, each admission raises the share of one, so their jobs take turns by weight.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from batch_operator.scheduling.observed import WaitingJob
from batch_operator.scheduling.shares import Shares

EXACT = 10


def step(position: int) -> int:
    """As it is written in status: exact to 10, then rounded up to one significant digit (20 … 90, 100 … 900)."""
    if position <= EXACT:
        return position
    unit = int(f"1{'0' * (len(str(position)) - 1)}")
    return -(-position // unit) * unit


def in_line(kinds: Iterable[tuple[int, list[WaitingJob]]], shares: Shares) -> list[str]:
    """The uids in order. `kinds`: effective priority and jobs of one kind; `shares`: as they stand.

    A namespace's share before each of its jobs only grows, so taking the least again and again is the same as
    sorting by it.
    """
    levels: dict[int, dict[str, list[WaitingJob]]] = {}
    for level, jobs in kinds:
        levels.setdefault(level, {}).setdefault(jobs[0].namespace, []).extend(jobs)
    ahead: dict[str, Sequence[int]] = {}
    result: list[str] = []
    for level in sorted(levels, reverse=True):
        order: list[tuple[float, tuple[float, str]]] = []
        for namespace, waiting in levels[level].items():
            waiting.sort(key=attrgetter("order"))
            used = ahead.get(namespace) or shares.used(namespace)
            before, ahead[namespace] = shares.growth(namespace, used, waiting)
            order += zip(before, [job.order for job in waiting], strict=True)
        order.sort()
        result += [uid for _, (_, uid) in order]
    return result
