"""What holds for any cluster. The order is asked of a slow reference that follows the design word for word."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from batch_operator.scheduling.observed import ENDING_PATIENCE, Cluster, Holder, PodSet, WaitingJob
from batch_operator.scheduling.priorities import Levels
from batch_operator.scheduling.schedule import admissions, schedule
from batch_operator.scheduling.waiting import by_kind
from tests.builders import NOW
from tests.simulate.load import Arrival
from tests.simulate.world import GPU, World
from tests.unit.batch_operator.scheduling.scenes import Q, ago, cluster, holder, queue, waiting

NEVER = timedelta(days=1000)
WEIGHTS = {"team-a": 1, "team-b": 2, "team-c": 0}
namespaces = st.sampled_from(sorted(WEIGHTS))
amounts = st.integers(0, 6)


@st.composite
def pod_sets(draw: st.DrawFn, most: int = 4) -> tuple[PodSet, ...]:
    gpus, cpu = draw(st.integers(0, most)), draw(st.sampled_from([0, 0, 1, 2]))
    return (PodSet(draw(st.sampled_from([1, 1, 2])), ((GPU, gpus * 1000), ("cpu", cpu * 1000))),)


@st.composite
def clusters(draw: st.DrawFn, strategy: Strategy | None = None, preemption: Preemption = Preemption.NEVER) -> Cluster:
    equal = draw(st.booleans())
    """Small jobs of equal rank, and room for many: it is their shares that decide."""
    most = 1 if equal else 4
    of = queue(
        quota={GPU: draw(st.integers(2, 10)) * 1000, "cpu": draw(st.sampled_from([3, 30])) * 1000},
        strategy=strategy or draw(st.sampled_from(Strategy)),
        preemption=preemption,
        weights=WEIGHTS,
        reserve_after=NEVER,
    )
    jobs = [
        waiting(
            f"w{number}",
            pods=draw(pod_sets(most)),
            namespace=draw(namespaces),
            age=draw(st.integers(0, 5)) * 100,
            priority=0 if equal else draw(st.sampled_from([0, 0, 0, 1, 2])),
            preemptions=0 if equal else draw(st.sampled_from([0, 0, 0, 2, 9])),
            suspended=draw(st.integers(0, 9)) == 0,
            not_before=NOW + timedelta(seconds=9) if draw(st.integers(0, 9)) == 0 else None,
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    held = [
        holder(
            f"h{number}",
            pods=draw(pod_sets(most)),
            namespace=draw(namespaces),
            age=draw(st.integers(0, 5)) * 100,
            priority=draw(st.sampled_from([0, 0, 0, 1, 2])),
            preemptions=draw(st.sampled_from([0, 0, 0, 2, 9])),
            ending_since=draw(st.sampled_from([None, None, ago(1), ago(9999)])),
        )
        for number in range(draw(st.integers(0, 5)))
    ]
    return cluster(jobs, held, of=of)


def used(jobs: Iterable[WaitingJob | Holder], resource: str) -> int:
    return sum(job.request.get(resource, 0) for job in jobs)


def fits(job: WaitingJob, inside: Iterable[WaitingJob | Holder], of: QueueRecord) -> bool:
    inside = list(inside)
    return all(job.request.get(r, 0) == 0 or job.request[r] <= limit - used(inside, r) for r, limit in of.quota.items())


def key(
    job: WaitingJob, inside: Iterable[WaitingJob | Holder], seen: Cluster
) -> tuple[float, float, tuple[float, str]]:
    """The design's one key, at the moment at which `inside` hold quota."""
    of = seen.queues[Q]
    mine = [other for other in inside if other.namespace == job.namespace]
    shares = [used(mine, r) / limit if limit else float("inf") if used(mine, r) else 0 for r, limit in of.quota.items()]
    weight = WEIGHTS[job.namespace]
    levels = Levels([j.priority for j in eligible(seen, backing_off=True)] + [h.priority for h in seen.holders])
    return (
        -levels.effective(job.priority, job.preemptions),
        max(shares) / weight if weight else float("inf"),
        job.order,
    )


def eligible(seen: Cluster, *, backing_off: bool = False) -> list[WaitingJob]:
    of = seen.queues[Q]
    return [
        job
        for job in seen.waiting
        if not job.suspended and (backing_off or job.not_before is None) and fits(job, (), of)
    ]


@given(clusters(preemption=Preemption.LOWER_PRIORITY))
def test_no_quota_is_exceeded(seen: Cluster) -> None:
    decided = schedule(seen)
    by_uid = {job.uid: job for job in seen.waiting}
    admitted = [by_uid[uid] for uid in decided.admit]
    for resource, limit in seen.queues[Q].quota.items():
        asked = used(admitted, resource)
        assert asked == 0 or asked + used(seen.holders, resource) <= limit


@given(clusters())
def test_none_is_admitted_past_one_that_comes_first_and_fits(seen: Cluster) -> None:
    by_uid = {job.uid: job for job in seen.waiting}
    inside: list[WaitingJob | Holder] = list(seen.holders)
    left = {job.uid: job for job in eligible(seen)}
    strict = seen.queues[Q].strategy is Strategy.STRICT_FIFO
    for uid in schedule(seen).admit:
        mine = key(by_uid[uid], inside, seen)
        before = [j for j in left.values() if j.uid != uid and key(j, inside, seen) < mine]
        assert not [j.uid for j in before if strict or fits(j, inside, seen.queues[Q])]
        inside.append(left.pop(uid))


@given(clusters(Strategy.BEST_EFFORT_FIFO))
def test_nothing_that_somebody_waits_for_stays_free(seen: Cluster) -> None:
    decided = schedule(seen)
    by_uid = {job.uid: job for job in seen.waiting}
    inside: list[WaitingJob | Holder] = [*seen.holders, *(by_uid[uid] for uid in decided.admit)]
    left = [job for job in eligible(seen) if job.uid not in decided.admit]
    assert not [job.uid for job in left if fits(job, inside, seen.queues[Q])]


@given(clusters(Strategy.STRICT_FIFO))
def test_strict_fifo_stops_only_at_one_that_does_not_fit(seen: Cluster) -> None:
    decided = schedule(seen)
    by_uid = {job.uid: job for job in seen.waiting}
    inside: list[WaitingJob | Holder] = [*seen.holders, *(by_uid[uid] for uid in decided.admit)]
    left = [job for job in eligible(seen) if job.uid not in decided.admit]
    if left:
        assert not fits(min(left, key=lambda job: key(job, inside, seen)), inside, seen.queues[Q])


@given(clusters(preemption=Preemption.LOWER_PRIORITY))
def test_places_are_dense_and_unique_and_every_job_has_its_answer(seen: Cluster) -> None:
    decided = schedule(seen)
    assert sorted(decided.positions.values()) == list(range(1, decided.depths.get(Q, 0) + 1))
    assert set(decided.positions) == {job.uid for job in eligible(seen, backing_off=True)} - set(decided.admit)
    assert set(decided.pending) | set(decided.admit) == {job.uid for job in seen.waiting}
    assert not set(decided.pending) & set(decided.admit)
    assert len(set(decided.admit)) == len(decided.admit)


@given(clusters(preemption=Preemption.LOWER_PRIORITY))
def test_places_are_in_the_order_in_which_quota_would_admit(seen: Cluster) -> None:
    decided = schedule(seen)
    by_uid = {job.uid: job for job in seen.waiting}
    inside: list[WaitingJob | Holder] = [*seen.holders, *(by_uid[uid] for uid in decided.admit)]
    left = {uid: by_uid[uid] for uid in decided.positions}
    for uid in sorted(decided.positions, key=decided.positions.__getitem__):
        assert uid == min(left.values(), key=lambda job: key(job, inside, seen)).uid
        inside.append(left.pop(uid))


@given(clusters(preemption=Preemption.LOWER_PRIORITY), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_the_question(seen: Cluster, chance: object) -> None:
    jobs, held = list(seen.waiting), list(seen.holders)
    chance.shuffle(jobs)  # type: ignore[attr-defined]
    chance.shuffle(held)  # type: ignore[attr-defined]
    shuffled = replace(seen, kinds=by_kind(jobs), holders=tuple(held))
    assert schedule(seen) == schedule(shuffled)


@given(clusters(preemption=Preemption.LOWER_PRIORITY))
def test_the_simulator_is_told_the_same(seen: Cluster) -> None:
    whole, part = schedule(seen), admissions(seen)
    assert (whole.admit, whole.preempt, whole.next_at) == (part.admit, part.preempt, part.next_at)


@given(clusters(preemption=Preemption.LOWER_PRIORITY), st.data())
def test_no_victim_too_many_and_none_too_few(seen: Cluster, data: st.DataObject) -> None:
    candidates = [replace(job, priority=3) for job in eligible(seen)]
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
    of = seen.queues[Q]
    if victims:
        assert fits(job, rest, of)
        assert not [v.uid for v in victims if fits(job, [*rest, v], of)]
        assert all(levels.effective(v.priority, v.preemptions) < job.priority for v in victims)
        assert all(v.ending_since is None for v in victims)
    elif job.uid not in decided.admit and NOW - job.queued_at >= timedelta(minutes=2):
        safe = [h for h in rest if levels.effective(h.priority, h.preemptions) >= job.priority or h.ending_since]
        assert fits(job, rest, of) or not fits(job, safe, of)


@st.composite
def weeks(draw: st.DrawFn) -> list[Arrival]:
    return [
        Arrival(
            f"{number:03}",
            draw(st.integers(0, 5000)),
            draw(st.sampled_from([1, 2, 4, 8])),
            draw(st.integers(10, 4000)),
            draw(namespaces),
            draw(st.sampled_from([0, 1, 2])),
        )
        for number in range(draw(st.integers(1, 25)))
    ]


@settings(max_examples=60)
@given(weeks(), st.sampled_from(Strategy), st.sampled_from(Preemption), st.sampled_from([0, 600, 10**6]))
def test_every_job_ends(arrivals: list[Arrival], strategy: Strategy, preemption: Preemption, reserve: int) -> None:
    of = queue(8, strategy=strategy, preemption=preemption, weights=WEIGHTS, reserve_after=timedelta(seconds=reserve))
    world = World(of, arrivals)
    world.run(until=30 * 86_400)
    assert not [uid for uid, run in world.runs.items() if run.ended_at is None]
    assert all(run.preemptions <= 6 for run in world.runs.values())
    serial = sum(run.arrival.seconds + run.lost_if_nothing_kept for run in world.runs.values())
    assert max(run.ended_at or 0 for run in world.runs.values()) <= 5000 + 2 * serial
