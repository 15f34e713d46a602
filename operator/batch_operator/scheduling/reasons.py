"""Why a job in line was not admitted: the second half of Why's precedence, once its line has been gone down."""

from heapq import nlargest

from batch_operator.scheduling.decisions import Pending, Why
from batch_operator.scheduling.line import Line
from batch_operator.scheduling.observed import Kind, WaitingJob
from batch_operator.scheduling.standing import Standing

MOST_HOLDERS = 3


class Reasons:
    """Of one line. Jobs of one shape share theirs."""

    def __init__(self, line: Line, standing: Standing, stopped: Pending | None) -> None:
        self._line = line
        self._standing = standing
        self._stopped = stopped
        self._by_shape: dict[str, Pending | None] = {}
        self._resources = tuple(line.queue.quota)
        self._held: list[dict[str, int]] | None = None
        self._greatest_of: dict[int, list[tuple[str, str, int]]] = {}

    def of(self, kind: Kind) -> dict[str, Pending]:
        """By uid."""
        first, line = kind.first, self._line
        if self._stopped is not None:
            return dict.fromkeys(kind.uids, self._stopped)
        if first.shape not in self._by_shape:
            self._by_shape[first.shape] = self._for_quota(first, line.free)
        for_quota = self._by_shape[first.shape]
        if for_quota is None and first.not_before is not None:
            result = {job.uid: self._else(job) for job in kind.jobs}
        else:
            result = dict.fromkeys(kind.uids, for_quota or self._else(first))
        for uid in line.claims.keys() & result:
            victims, remark = line.claims[uid], self._standing.remark(first)
            result[uid] = Pending(Why.WAITING_FOR_PREEMPTION, victims=victims, no_node=remark)
        if line.reservation is not None and line.reservation.uid in result:
            result[line.reservation.uid] = self._for_quota(first, self._own()) or self._else(first)
        return result

    def _own(self) -> list[int]:
        """What is held back for a job is not missing for it."""
        held = self._line.reservation.held if self._line.reservation else {}
        return [free + held.get(r, 0) for r, free in zip(self._resources, self._line.free, strict=True)]

    def _for_quota(self, job: WaitingJob, free: list[int]) -> Pending | None:
        lacking = [
            (place, amount - max(free[place], 0)) for place, amount in self._line.needs_of(job) if amount > free[place]
        ]
        if not lacking:
            return None
        reservation = self._line.reservation if free is self._line.free else None
        kept = reservation is not None and any(self._resources[place] in reservation.held for place, _ in lacking)
        return Pending(
            Why.WAITING_FOR_QUOTA,
            missing=tuple((self._resources[place], amount) for place, amount in lacking),
            holders=tuple(holder for place, _ in lacking for holder in self._greatest(place)),
            reserved_for=reservation.uid if reservation is not None and kept else "",
            promised=any(self._line.promised[place] for place, _ in lacking),
            no_node=self._standing.remark(job),
        )

    def _else(self, job: WaitingJob) -> Pending:
        """Its quota is there."""
        remark = self._standing.remark(job)
        if job.not_before is not None and job.not_before > self._line.now:
            return Pending(Why.BACKING_OFF, no_node=remark, until=job.not_before)
        if job.shape in self._line.without_room and self._line.room is not None:
            reserved = self._line.reservation.uid if self._line.reservation is not None else ""
            return Pending(
                Why.WAITING_FOR_QUOTA,
                no_room=self._line.room.shortage(job.pods),
                reserved_for=reserved if reserved != job.uid else "",
            )
        blocker = self._line.blocker
        behind = f"{blocker.namespace}/{blocker.name}" if blocker is not None else ""
        return Pending(Why.WAITING_FOR_QUOTA, behind=behind, no_node=remark)

    def _greatest(self, place: int) -> list[tuple[str, str, int]]:
        """Who holds most of a resource."""
        if place not in self._greatest_of:
            most = nlargest(MOST_HOLDERS, self._holding(place).items(), key=lambda item: (item[1], item[0]))
            self._greatest_of[place] = [(self._resources[place], namespace, amount) for namespace, amount in most]
        return self._greatest_of[place]

    def _holding(self, place: int) -> dict[str, int]:
        """By namespace, what its jobs hold of a resource; those just admitted included."""
        if self._held is None:
            self._held = [{} for _ in self._resources]
            line = self._line
            everything = [(h.namespace, line.shares.needs_of(h)) for h in line.holders]
            everything += [(job.namespace, line.needs_of(job)) for job in line.admitted]
            for namespace, needs in everything:
                for at, amount in needs:
                    self._held[at][namespace] = self._held[at].get(namespace, 0) + amount
        return self._held[place]
