"""One cycle of the scheduler: a frozen Cluster -> Decisions. Called by the shell whenever something may have changed.

Queues know nothing of each other. What is decided here has happened only once the shell has seen it happen: a victim
keeps its quota until its pods are gone.
"""

from collections import Counter

from batch_operator.api.v1alpha1.batch_queue import Stop
from batch_operator.scheduling.decisions import Decisions, Pending, QueueState, Victim, Why
from batch_operator.scheduling.line import Line
from batch_operator.scheduling.observed import Cluster, Holder, Kind
from batch_operator.scheduling.positions import EXACT, in_line
from batch_operator.scheduling.reasons import Reasons
from batch_operator.scheduling.standing import Standing, stopped
from batch_operator.scheduling.waiting import left_of


def schedule(cluster: Cluster) -> Decisions:
    """Who is admitted and who gives way, and of everybody else why it waits and at which place."""
    standing = Standing(cluster)
    pending: dict[str, Pending] = {}
    lines = _lines(cluster, standing, pending)
    states = {name: _state(line) for name, line in lines.items()}
    decided = _decided(lines, standing)
    positions: dict[str, int] = {}
    depths: dict[str, int] = {}
    fronts: dict[str, tuple[str, ...]] = {}
    for name, line in lines.items():
        left = left_of(line.kinds, line.admitted)
        reasons = Reasons(line, standing, stopped(line.queue))
        for kind in left:
            pending.update(reasons.of(kind))
        order = in_line([(line.level_of(kind.first), kind) for kind in left], line.shares)
        positions.update(zip(order, range(1, len(order) + 1), strict=True))
        depths[name] = len(order)
        fronts[name] = tuple(order[:EXACT])
    return Decisions(
        admit=decided.admit,
        preempt=decided.preempt,
        pending=pending,
        positions=positions,
        depths=depths,
        fronts=fronts,
        reservations=decided.reservations,
        claims=decided.claims,
        queues=states,
        next_at=decided.next_at,
    )


def admissions(cluster: Cluster) -> Decisions:
    """The same decisions without what is said of those that wait, at a fraction of the price: for simulations."""
    standing = Standing(cluster)
    return _decided(_lines(cluster, standing, {}), standing)


def _lines(cluster: Cluster, standing: Standing, pending: dict[str, Pending]) -> dict[str, Line]:
    """Of each queue the jobs that hold its quota and those in its line; into `pending` goes who is in none."""
    holders: dict[str, list[Holder]] = {}
    for holder in cluster.holders:
        holders.setdefault(holder.queue, []).append(holder)
    waiting: dict[str, list[Kind]] = {}
    for kind in cluster.kinds:
        outside = standing.of(kind.first)
        if outside is not None:
            pending.update(dict.fromkeys(kind.uids, outside))
        else:
            waiting.setdefault(kind.first.queue, []).append(kind)
    lines = {}
    for name in sorted({*cluster.queues, *waiting, *holders}):
        queue = standing.queue(name)
        if queue is not None:  # the jobs of a deleted Queue run on
            room = standing.room if queue.require_matching_node else None
            lines[name] = Line(
                queue, holders.get(name, []), waiting.get(name, []), cluster.now, cluster.displace_after, room
            )
    return lines


def _decided(lines: dict[str, Line], standing: Standing) -> Decisions:
    """Goes down all lines."""
    victims: list[Victim] = []
    for line in sorted(lines.values(), key=lambda line: line.room is not None):
        if stopped(line.queue) is None:
            line.run()
            if standing.room is not None and line.room is None:
                for job in line.admitted:
                    standing.room.assume(job.pods)
        elif line.queue.stop is Stop.HOLD_AND_DRAIN:
            why = f"Queue {line.queue.name} is drained (spec.stop: HoldAndDrain)"
            victims += [Victim(h.uid, Why.QUEUE_STOPPED, detail=why) for h in line.holders if h.ending_since is None]
        victims += line.victims
    moments = [moment for line in lines.values() for moment in line.wake_at]
    return Decisions(
        admit=tuple(job.uid for line in lines.values() for job in line.admitted),
        preempt=tuple(victims),
        reservations={name: line.reservation for name, line in lines.items() if line.reservation is not None},
        claims=tuple(uid for line in lines.values() for uid in line.claims),
        next_at=min(moments, default=None),
    )


def _state(line: Line) -> QueueState:
    resources = tuple(line.queue.quota)
    used = dict.fromkeys(resources, 0)
    alike = Counter(holder.shape for holder in line.holders)
    for shape, request in {holder.shape: holder.request for holder in line.holders}.items():
        for resource, amount in request.items():
            if resource in used:
                used[resource] += alike[shape] * amount
    free = {resource: line.queue.quota[resource] - amount for resource, amount in used.items()}
    return QueueState(sum(len(kind.jobs) for kind in line.kinds), len(line.holders), used, free)
