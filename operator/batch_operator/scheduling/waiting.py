"""The jobs that wait, by kind and in order, kept so while they come and go: of ten thousand a cycle sorts a few.

`Waiting` is the shell's (handlers.scheduler), `by_kind` for tests and simulations, `merged` for scheduling.positions.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter

from batch_operator.scheduling.observed import Kind, WaitingJob

_ORDER = attrgetter("order")


class Waiting:
    """A job is taken out as the record that was put in."""

    def __init__(self) -> None:
        self._jobs: dict[str, list[WaitingJob]] = {}
        self._kinds: dict[str, Kind] = {}
        """Those that have not changed since they were last asked for."""

    def add(self, job: WaitingJob) -> None:
        insort(self._jobs.setdefault(job.kind, []), job, key=_ORDER)
        self._kinds.pop(job.kind, None)

    def remove(self, job: WaitingJob) -> None:
        alike = self._jobs[job.kind]
        del alike[bisect_left(alike, job.order, key=_ORDER)]
        if not alike:
            del self._jobs[job.kind]
        self._kinds.pop(job.kind, None)

    def kinds(self, without: Collection[WaitingJob] = ()) -> tuple[Kind, ...]:
        """`without`: jobs that are to be left out this time."""
        for name, jobs in self._jobs.items():
            if name not in self._kinds:
                self._kinds[name] = Kind(tuple(jobs))
        return left_of(self._kinds.values(), without)


def by_kind(jobs: Iterable[WaitingJob]) -> tuple[Kind, ...]:
    """The same, made at once."""
    kinds: dict[str, list[WaitingJob]] = {}
    for job in sorted(jobs, key=_ORDER):
        kinds.setdefault(job.kind, []).append(job)
    return tuple([Kind(tuple(alike)) for alike in kinds.values()])


def left_of(kinds: Iterable[Kind], without: Collection[WaitingJob]) -> tuple[Kind, ...]:
    """Kinds of which nobody is left out stay the same objects."""
    if not without:
        return tuple(kinds)
    uids, touched = {job.uid for job in without}, {job.kind for job in without}
    left = []
    for kind in kinds:
        if kind.first.kind not in touched:
            left.append(kind)
        elif jobs := kind.without(uids):
            left.append(Kind(jobs))
    return tuple(left)


@dataclass(frozen=True, slots=True)
class Merged:
    """Jobs of several kinds by `order`: their columns, which are read one after the other."""

    orders: tuple[tuple[float, str], ...]
    uids: tuple[str, ...]
    shapes: tuple[str, ...]


@lru_cache(maxsize=128)
def merged(kinds: tuple[Kind, ...]) -> Merged:
    """Of most kinds nothing changes from cycle to cycle."""
    jobs = sorted(chain.from_iterable(kind.jobs for kind in kinds), key=_ORDER)
    return Merged(
        tuple([job.order for job in jobs]), tuple([job.uid for job in jobs]), tuple([job.shape for job in jobs])
    )
