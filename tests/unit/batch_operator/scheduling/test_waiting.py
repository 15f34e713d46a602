"""The order that is kept while jobs come and go is the one that sorting gives."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from batch_operator.api.v1alpha1.batch_queue import Preemption
from batch_operator.scheduling.observed import Kind, WaitingJob
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.waiting import Waiting, by_kind, left_of
from tests.unit.batch_operator.scheduling.scenes import cluster, holder, queue, waiting

OF = queue(3, weights={"team-b": 2}, preemption=Preemption.LOWER_PRIORITY)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, WaitingJob | None]]:
    """uids and what they ask for from then on; None: nothing any more."""
    steps: list[tuple[str, WaitingJob | None]] = []
    for _ in range(draw(st.integers(1, 40))):
        uid = f"w{draw(st.integers(0, 9))}"
        asks = waiting(
            uid,
            draw(st.integers(1, 3)),
            age=draw(st.sampled_from([100, 100, 200, 300, 400])),
            namespace=draw(st.sampled_from(["team-a", "team-a", "team-b"])),
            priority=draw(st.sampled_from([0, 0, 5])),
            preemptions=draw(st.sampled_from([0, 0, 2])),
            suspended=draw(st.integers(0, 9)) == 0,
        )
        steps.append((uid, draw(st.sampled_from([asks, asks, None]))))
    return steps


def jobs_of(kinds: Iterable[Kind]) -> dict[str, tuple[WaitingJob, ...]]:
    return {kind.first.kind: kind.jobs for kind in kinds}


@given(changes(), st.data())
def test_what_is_kept_is_what_is_sorted_anew(steps: list[tuple[str, WaitingJob | None]], data: st.DataObject) -> None:
    kept, jobs = Waiting(), dict[str, WaitingJob]()
    for uid, job in steps:
        if uid in jobs:
            kept.remove(jobs.pop(uid))
        if job is not None:
            jobs[uid] = job
            kept.add(job)
        out = data.draw(st.lists(st.sampled_from(sorted(jobs)), unique=True)) if jobs else []
        without = [jobs[uid] for uid in out]
        rest = by_kind(job for job in jobs.values() if job not in without)
        assert jobs_of(kept.kinds(without)) == jobs_of(rest)
        assert all(kind.uids == tuple(job.uid for job in kind.jobs) for kind in kept.kinds())
        held = [holder("h", 2, namespace="team-b")]
        scene = cluster(of=OF, holders=held, kinds=kept.kinds(without))
        assert schedule(scene) == schedule(cluster(of=OF, holders=held, kinds=rest)), "whatever it remembers"


def test_a_kind_that_does_not_change_is_the_same_object() -> None:
    kept = Waiting()
    for job in (waiting("a1"), waiting("a2"), waiting("b", 2)):
        kept.add(job)
    one, other = kept.kinds()
    kept.remove(waiting("a2"))
    assert kept.kinds()[0] is not one or kept.kinds()[1] is not other
    assert other in kept.kinds()
    assert left_of([one, other], [waiting("a1")])[1] is other
