"""What the scheduler decides and says: admissions, victims, and of each waiting job why it waits and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Why(StrEnum):
    """Reasons of condition Admitted=False, the first that applies."""

    SUSPENDED = "Suspended"
    QUEUE_NOT_FOUND = "QueueNotFound"
    QUEUE_STOPPED = "QueueStopped"
    EXCEEDS_MAX_QUOTA = "ExceedsMaxQuota"
    NO_MATCHING_NODE = "NoMatchingNode"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    WAITING_FOR_PREEMPTION = "WaitingForPreemption"
    BACKING_OFF = "BackingOff"

    @property
    def is_stalled(self) -> bool:
        """Only a change of the job's, or of its queue's, spec helps."""
        return self in (Why.EXCEEDS_MAX_QUOTA, Why.QUEUE_NOT_FOUND)


class Shortage(NamedTuple):
    """What the nodes have no room for now, though the quota would do."""

    pods: int
    each: tuple[tuple[str, int], ...]
    """Resource and amount that one pod asks for."""
    free: int
    """Of the first of these, on nodes that it may use."""
    nodes: int
    """That have some of it left."""


class Pending(NamedTuple):
    """Why a job waits; scheduling.words puts it in words. Shared by jobs that ask for the same."""

    why: Why
    detail: str = ""
    """Where it is known beforehand what to say."""
    missing: tuple[tuple[str, int], ...] = ()
    """Resource and amount, thousandths."""
    holders: tuple[tuple[str, str, int], ...] = ()
    """Who holds what is missing: resource, namespace, amount; the greatest first."""
    reserved_for: str = ""
    """The job for which quota is held back that this one would need."""
    promised: bool = False
    """Some of what is missing is free, but kept for jobs that wait for a preemption."""
    behind: str = ""
    """StrictFIFO: the first in line, which blocks this one."""
    victims: tuple[str, ...] = ()
    """Jobs that give way to this one."""
    no_node: str = ""
    """A remark: no node that is there could hold its largest pod."""
    until: datetime | None = None
    """End of the back-off."""
    no_room: tuple[Shortage, ...] = ()
    """Its quota is there; these pods have no room on the nodes now."""


class Victim(NamedTuple):
    """An admitted job that has to give way."""

    uid: str
    reason: str
    """Preempted, or QueueStopped where the queue is drained."""
    preemptor: str = ""
    """The uid of the job that it gives way to."""
    detail: str = ""


class Reservation(NamedTuple):
    """What is held back for a job that waited long."""

    uid: str
    held: Mapping[str, int]


class QueueState(NamedTuple):
    """Of one queue, as it is before the decisions are carried out."""

    pending: int
    """Jobs in line, those that are now admitted included."""
    admitted: int
    used: Mapping[str, int]
    free: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The outcome of one cycle."""

    admit: tuple[str, ...] = ()
    """uids, first things first."""
    preempt: tuple[Victim, ...] = ()
    pending: Mapping[str, Pending] = field(default_factory=dict)
    """By uid: every waiting job that is not admitted."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """By uid: the place in line; absent for jobs that are in none."""
    depths: Mapping[str, int] = field(default_factory=dict)
    """By queue: how many stay in line."""
    fronts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By queue: the uids of the first in line, whose places are told exactly."""
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    """By queue."""
    claims: tuple[str, ...] = ()
    """uids of jobs for which quota is held that is about to come free."""
    queues: Mapping[str, QueueState] = field(default_factory=dict)
    next_at: datetime | None = None
    """When to decide anew though nothing happens: the end of a back-off, of a minimum runtime, …"""
