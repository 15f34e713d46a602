"""What holds for any cluster whose queue looks at the nodes. Pods of a job are alike here, so it can be counted out
whether they have room: node by node, how many fit."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from batch_operator.api.v1alpha1.batch_queue import Preemption, Strategy
from batch_operator.scheduling.observed import ENDING_PATIENCE, Cluster, Holder, Node, PodSet, WaitingJob
from batch_operator.scheduling.priorities import Levels
from batch_operator.scheduling.room import Room
from batch_operator.scheduling.schedule import admissions, schedule
from batch_operator.scheduling.waiting import by_kind
from tests.builders import NOW
from tests.simulate.load import Arrival
from tests.simulate.nodes import GPUS_EACH, Nodes
from tests.simulate.world import World
from tests.unit.batch_operator.scheduling.scenes import GPU, Q, queue
from tests.unit.batch_operator.scheduling.test_properties import WEIGHTS, clusters, eligible, fits, weeks

Free = dict[str, dict[str, int]]


@st.composite
def on_nodes(
    draw: st.DrawFn, strategy: Strategy = Strategy.BEST_EFFORT_FIFO, preemption: Preemption = Preemption.NEVER
) -> Cluster:
    """Up to four nodes; every pod that runs is on one that has room for it."""
    seen = draw(clusters(strategy, preemption))
    nodes = tuple(
        Node(name, {GPU: draw(st.integers(1, 6)) * 1000, "cpu": draw(st.sampled_from([1, 4])) * 1000})
        for name in "abcd"[: draw(st.integers(1, 4))]
    )
    free: Free = {node.name: dict(node.allocatable) for node in nodes}
    held: list[Holder] = []
    for holder in seen.holders:
        placed: list[tuple[str, PodSet]] = []
        one = replace(holder.pods[0], count=1)
        for _ in range(holder.pods[0].count):
            able = [name for name in free if slots(free[name], one)]
            if able:
                placed.append((draw(st.sampled_from(able)), one))
                take(free, *placed[-1])
        if len(placed) == holder.pods[0].count:
            held.append(replace(holder, placed=tuple(placed)))
        else:
            for name, podset in placed:
                take(free, name, podset, -1)
    of = replace(seen.queues[Q], require_matching_node=True)
    return replace(seen, queues={Q: of}, holders=tuple(held), nodes=nodes)


def slots(free: dict[str, int], podset: PodSet) -> int:
    return min((free.get(r, 0) // amount for r, amount in podset.requests if amount), default=99)


def take(free: Free, name: str, podset: PodSet, times: int = 1) -> None:
    for resource, amount in podset.requests:
        free[name][resource] = free[name].get(resource, 0) - amount * podset.count * times


def left_beside(seen: Cluster, held: Iterable[Holder]) -> Free:
    free: Free = {node.name: dict(node.allocatable) for node in seen.nodes or ()}
    for holder in held:
        for name, podset in holder.placed:
            take(free, name, podset)
    return free


def has_room(job: WaitingJob, free: Free) -> bool:
    podset = job.pods[0]
    return sum(max(slots(of, podset), 0) for of in free.values()) >= podset.count


def can_be_placed(pods: list[PodSet], free: Free) -> bool:
    """By trying every way."""
    if not pods:
        return True
    for name in free:
        if slots(free[name], pods[0]) > 0:
            take(free, name, pods[0])
            if can_be_placed(pods[1:], free):
                return True
            take(free, name, pods[0], -1)
    return False


@given(on_nodes(preemption=Preemption.LOWER_PRIORITY))
def test_no_node_is_exceeded(seen: Cluster) -> None:
    by_uid = {job.uid: job for job in seen.waiting}
    sets = [by_uid[uid].pods[0] for uid in schedule(seen).admit]
    single = [replace(podset, count=1) for podset in sets for _ in range(podset.count)]
    assert can_be_placed(sorted(single, key=lambda p: p.requests, reverse=True), left_beside(seen, seen.holders))


@given(on_nodes())
def test_no_place_that_somebody_waits_for_stays_empty(seen: Cluster) -> None:
    decided = schedule(seen)
    by_uid = {job.uid: job for job in seen.waiting}
    admitted = [by_uid[uid] for uid in decided.admit]
    sets = [*(job.pods for job in seen.waiting), *(holder.pods for holder in seen.holders)]
    room = Room(seen.nodes or (), seen.holders, sets, NOW, ENDING_PATIENCE)
    assert all(room.admit(job.pods) for job in admitted)
    resources = sorted({r for node in seen.nodes or () for r in node.allocatable}, key=lambda r: ("/" not in r, r))
    names = sorted(node.name for node in seen.nodes or ())
    free = {name: dict(zip(resources, left, strict=True)) for name, left in zip(names, room.now.free, strict=True)}
    inside: list[WaitingJob | Holder] = [*seen.holders, *admitted]
    left = [job for job in eligible(seen) if job.uid not in decided.admit]
    assert not [job.uid for job in left if fits(job, inside, seen.queues[Q]) and has_room(job, free)]


@given(on_nodes(preemption=Preemption.LOWER_PRIORITY), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_the_question(seen: Cluster, chance: object) -> None:
    jobs, held, nodes = list(seen.waiting), list(seen.holders), list(seen.nodes or ())
    for many in (jobs, held, nodes):
        chance.shuffle(many)  # type: ignore[attr-defined]
    assert schedule(seen) == schedule(replace(seen, kinds=by_kind(jobs), holders=tuple(held), nodes=tuple(nodes)))


@given(on_nodes(preemption=Preemption.LOWER_PRIORITY))
def test_the_simulator_is_told_the_same(seen: Cluster) -> None:
    whole, part = schedule(seen), admissions(seen)
    assert (whole.admit, whole.preempt, whole.next_at) == (part.admit, part.preempt, part.next_at)


@given(on_nodes(preemption=Preemption.LOWER_PRIORITY), st.data())
def test_no_victim_too_many_and_none_too_few(seen: Cluster, data: st.DataObject) -> None:
    whole: Free = {node.name: dict(node.allocatable) for node in seen.nodes or ()}
    candidates = [replace(job, priority=3) for job in eligible(seen) if has_room(job, whole)]
    if not candidates:
        return
    job = data.draw(st.sampled_from(candidates))
    decided = schedule(replace(seen, kinds=by_kind([job])))
    held = {h.uid: h for h in seen.holders}
    victims = [held[v.uid] for v in decided.preempt]
    levels = Levels([job.priority, *(h.priority for h in seen.holders)])
    rest = [
        h
        for h in seen.holders
        if h not in victims and (h.ending_since is None or NOW - h.ending_since >= ENDING_PATIENCE)
    ]

    def goes(beside: list[Holder]) -> bool:
        return fits(job, beside, seen.queues[Q]) and has_room(job, left_beside(seen, beside))

    if victims:
        assert goes(rest)
        assert not [v.uid for v in victims if goes([*rest, v])]
        assert all(levels.effective(v.priority, v.preemptions) < job.priority for v in victims)
        assert all(v.ending_since is None for v in victims)
    elif job.uid not in decided.admit and NOW - job.queued_at >= timedelta(minutes=2):
        safe = [h for h in rest if levels.effective(h.priority, h.preemptions) >= job.priority or h.ending_since]
        assert goes(rest) or not goes(safe)


@settings(max_examples=60)
@given(weeks(), st.sampled_from(Strategy), st.sampled_from(Preemption), st.sampled_from([0, 600, 10**6]))
def test_every_job_ends(arrivals: list[Arrival], strategy: Strategy, preemption: Preemption, reserve: int) -> None:
    """On two nodes; and whoever is admitted starts."""
    of = queue(
        16,
        strategy=strategy,
        preemption=preemption,
        weights=WEIGHTS,
        reserve_after=timedelta(seconds=reserve),
        require_matching_node=True,
    )
    world = World(of, arrivals, nodes=Nodes(free=[GPUS_EACH] * 2))
    world.run(until=30 * 86_400)
    assert not [uid for uid, run in world.runs.items() if run.ended_at is None]
    assert not [uid for uid, run in world.runs.items() if run.start_timeouts]
    assert all(run.preemptions <= 6 for run in world.runs.values())
