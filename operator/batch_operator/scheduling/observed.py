"""What the scheduler looks at: frozen records of queues, jobs and nodes at one moment.

Made by the shell, which keeps a job's record until the job changes: what is dear to compute is computed once, when a
record is made. Amounts are thousandths (api.quantities).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain

from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.scheduling.priorities import steps

DISPLACE_AFTER = timedelta(minutes=2)
"""A job waits so long, and holds what comes free meanwhile, before others have to give way: often enough somebody ends
by himself, and nothing is lost."""
ENDING_PATIENCE = timedelta(minutes=5)
"""Pods that take longer to end are not counted upon: their node may be dead, and others can give way instead."""
PODS = "pods"
"""Counts a job's pods, beside the resources that they ask for."""


@dataclass(frozen=True, slots=True)
class PodSet:
    """A component's pods, all alike."""

    count: int
    requests: tuple[tuple[str, int], ...]
    """Resource and amount that one pod asks for."""
    node_selector: tuple[tuple[str, str], ...] = ()
    """Labels that its node must have."""
    labels_above: tuple[tuple[str, int], ...] = ()
    """Labels whose number must be greater, as the node affinity's operator Gt."""


@lru_cache(maxsize=4096)
def _words(pods: tuple[PodSet, ...]) -> tuple[Mapping[str, int], str]:
    """What they ask for in all, and their shape: thousands of jobs ask for the same, again at each of their changes."""
    return total(pods), repr(pods)


def total(pods: tuple[PodSet, ...]) -> dict[str, int]:
    """What all the pods together ask for."""
    result = {PODS: 1000 * sum(podset.count for podset in pods)}
    for podset in pods:
        for resource, amount in podset.requests:
            result[resource] = result.get(resource, 0) + podset.count * amount
    return result


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that has no pods and would run: new, preempted, in back-off, or suspended."""

    uid: str
    namespace: str
    name: str
    queue: str
    pods: tuple[PodSet, ...]
    """What it would run: of each component as many pods as its next round has."""
    queued_at: datetime
    """Its place among its equals: when it was created; after a start timeout, when that was."""
    priority: int = 0
    preemptions: int = 0
    """Of status.preemption_count, those since the last retry request."""
    suspended: bool = False
    not_before: datetime | None = None
    """End of its back-off."""
    waiting_since: datetime | None = None
    """Since when it waits this time; None: since `queued_at`."""
    request: Mapping[str, int] = field(init=False, repr=False, compare=False)
    shape: str = field(init=False, repr=False, compare=False)
    """Equal for jobs that ask for the same; a string, because its hash is kept."""
    kind: str = field(init=False, repr=False, compare=False)
    """Equal for jobs that differ in name and age only: the scheduler looks at the first of each kind."""
    order: tuple[float, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        request, shape = _words(self.pods)
        object.__setattr__(self, "request", request)
        object.__setattr__(self, "shape", shape)
        backs_off = self.not_before is not None
        risen = steps(self.preemptions)
        alike = (self.queue, self.namespace, self.priority, risen, self.suspended, backs_off, self.shape)
        object.__setattr__(self, "kind", "\n".join(map(str, alike)))
        object.__setattr__(self, "order", (self.queued_at.timestamp(), self.uid))


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Jobs of one `kind`, at least one, by `order`. Kept from cycle to cycle, so what is made of it is made once."""

    jobs: tuple[WaitingJob, ...]
    uids: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uids", tuple([job.uid for job in self.jobs]))

    @property
    def first(self) -> WaitingJob:
        return self.jobs[0]

    def without(self, uids: Collection[str]) -> tuple[WaitingJob, ...]:
        return tuple([job for job in self.jobs if job.uid not in uids])


@dataclass(frozen=True, slots=True)
class Holder:
    """A job that holds quota: admitted, running, or with pods that are not gone yet."""

    uid: str
    namespace: str
    name: str
    queue: str
    """The queue that admitted it."""
    pods: tuple[PodSet, ...]
    """Pods that are there or that status authorises. One that has ended, or was deleted, counts until it is gone."""
    admitted_at: datetime
    priority: int = 0
    preemptions: int = 0
    ending_since: datetime | None = None
    """Since when all its pods are being ended, whatever the reason; it then holds its quota for a while only."""
    preempted_for: str = ""
    """The uid of the job that it gives way to."""
    grace: timedelta = timedelta(0)
    """What its pods are given to end."""
    placed: tuple[tuple[str, PodSet], ...] = field(default=(), compare=False)
    """Which of `pods` have a node, and which."""
    unplaced: tuple[PodSet, ...] = field(init=False, repr=False, compare=False)
    """Those of `pods` that have none yet."""
    request: Mapping[str, int] = field(init=False, repr=False, compare=False)
    shape: str = field(init=False, repr=False, compare=False)
    """As a waiting job's."""

    def __post_init__(self) -> None:
        request, shape = _words(self.pods)
        object.__setattr__(self, "request", request)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "unplaced", _without(self.pods, self.placed))


def _without(pods: tuple[PodSet, ...], placed: tuple[tuple[str, PodSet], ...]) -> tuple[PodSet, ...]:
    if not placed:
        return pods
    if len(placed) == 1 and pods == (placed[0][1],):
        return ()  # most jobs that run
    left: dict[PodSet, int] = {}
    for sets, sign in ((pods, 1), ([podset for _, podset in placed], -1)):
        for podset in sets:
            alike = replace(podset, count=1)
            left[alike] = left.get(alike, 0) + sign * podset.count
    return tuple(replace(alike, count=count) for alike, count in left.items() if count > 0)


@dataclass(frozen=True, slots=True)
class Node:
    """A node, by what its pods may use when nothing else runs there."""

    name: str
    allocatable: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    """False: nothing is placed there for now."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that a decision needs, at one moment."""

    now: datetime
    queues: Mapping[str, QueueRecord] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()
    """The jobs that wait. scheduling.waiting keeps them so, and sorts some that are not."""
    holders: tuple[Holder, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels by namespace; asked for only where a queue has a selector. One that is absent: they are not known, and a
    queue that asks for them is closed to it."""
    nodes: tuple[Node, ...] | None = None
    """Nodes that take pods; None: not known, then nothing is said of them."""
    displace_after: timedelta = DISPLACE_AFTER

    @property
    def waiting(self) -> Iterator[WaitingJob]:
        return chain.from_iterable(kind.jobs for kind in self.kinds)
