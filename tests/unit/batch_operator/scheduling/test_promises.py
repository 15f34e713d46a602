"""What is kept for whom: for one that waits for a preemption, behind a reservation, in StrictFIFO."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from batch_operator.api.v1alpha1.batch_queue import Preemption, Strategy
from batch_operator.scheduling.decisions import Why
from batch_operator.scheduling.observed import DISPLACE_AFTER, ENDING_PATIENCE, PodSet
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.words import words
from tests.builders import NOW
from tests.unit.batch_operator.scheduling.scenes import GPU, Q, ago, cluster, holder, queue, waiting

LOWER: dict[str, Any] = {"preemption": Preemption.LOWER_PRIORITY}


def test_who_waits_for_a_preemption_stands_first() -> None:
    """Its share does not rise before it is admitted."""
    jobs = [waiting("first", 4, priority=9), waiting("next", 8, namespace="team-b", priority=9, age=500)]
    found = schedule(cluster(jobs, [holder("low", 8, namespace="other")], of=queue(8, **LOWER)))
    assert found.claims == ("first",)
    assert found.positions == {"first": 1, "next": 2}


def test_strict_fifo_blocks_behind_one_that_waits_for_a_preemption() -> None:
    jobs = [waiting("high", 4, priority=9), waiting("small", 1)]
    of = queue(8, strategy=Strategy.STRICT_FIFO, **LOWER)
    found = schedule(cluster(jobs, [holder("low", 5)], of=of))
    assert ([v.uid for v in found.preempt], found.admit) == (["low"], ())
    assert found.pending["high"].why is Why.WAITING_FOR_PREEMPTION
    assert found.pending["small"].why is Why.WAITING_FOR_QUOTA
    assert schedule(cluster(jobs, [holder("low", 5)], of=replace(of, strategy=Strategy.BEST_EFFORT_FIFO))).admit == ()


def test_strict_fifo_reserves_nothing() -> None:
    of = queue(8, strategy=Strategy.STRICT_FIFO, reserve_after=timedelta(0))
    found = schedule(cluster([waiting("big", 8), waiting("small", 1)], [holder("h", 4)], of=of))
    assert found.reservations == {}
    assert words(found.pending["small"]) == "waits behind team-a/job-big (strategy StrictFIFO)"


def test_what_is_left_beside_a_promise_is_given_out() -> None:
    jobs = [waiting("high", 6, priority=9), waiting("small", 2)]
    safe = holder("safe", 1, priority=9)
    found = schedule(cluster(jobs, [holder("low", 3), safe], of=queue(7, **LOWER)))
    assert (found.claims, found.admit) == (("high",), ())
    assert words(found.pending["small"]).endswith("; some is kept for jobs that come first")
    ending = holder("low", 3, ending_since=ago(1), preempted_for="high")
    assert schedule(cluster(jobs, [ending, safe], of=queue(11, **LOWER))).admit == ("high",)
    assert schedule(cluster(jobs, [ending, safe], of=queue(12, **LOWER))).admit == ("high", "small")


def test_two_do_not_wait_for_the_same_victim() -> None:
    """Before anybody has to go, too: what nobody will give up is not kept."""
    jobs = [waiting(f"high-{n}", 8, priority=9, age=10) for n in range(3)] + [waiting("small", 9, age=5)]
    found = schedule(cluster(jobs, [holder("low", 8), holder("safe", 8, priority=9)], of=queue(16, **LOWER)))
    assert (found.claims, found.preempt, found.admit) == (("high-0",), (), ())
    jobs = [replace(job, queued_at=NOW - DISPLACE_AFTER) for job in jobs]
    found = schedule(cluster(jobs, [holder("low", 8), holder("safe", 8, priority=9)], of=queue(16, **LOWER)))
    assert (found.claims, [v.uid for v in found.preempt]) == (("high-0",), ["low"])


def test_none_gives_way_behind_a_reservation() -> None:
    """What came free would be held for the first in line: one after the other would go in vain."""
    jobs = [waiting("big", 8, priority=9, age=7200), waiting("high", 2, priority=9, age=300)]
    held = [holder("low", 2), holder("equal", 6, priority=9)]
    found = schedule(cluster(jobs, held, of=queue(8, **LOWER)))
    assert (found.preempt, found.claims) == ((), ())
    assert found.reservations[Q].uid == "big"
    found = schedule(cluster([replace(jobs[0], queued_at=ago(3000)), jobs[1]], held, of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["low"]


def test_a_reservation_of_one_resource_stops_no_preemption_for_another() -> None:
    of = queue(quota={GPU: 8000, "cpu": 4000}, **LOWER)
    cpu = (PodSet(1, (("cpu", 2000),)),)
    jobs = [waiting("big", 8, priority=9, age=7200), waiting("high", pods=cpu, priority=9, age=300)]
    held = [holder("low", pods=(PodSet(1, (("cpu", 4000),)),)), holder("equal", 6, priority=9)]
    found = schedule(cluster(jobs, held, of=of))
    assert [v.uid for v in found.preempt] == ["low"]
    assert "kept" not in words(
        schedule(cluster(jobs, held, of=replace(of, preemption=Preemption.NEVER))).pending["high"]
    )


def test_the_time_that_it_ran_is_no_wait() -> None:
    """A preempted job keeps its place, but waits anew until it may hold back what is free."""
    jobs = [waiting("back", 8, age=9000, waiting_since=ago(60), preemptions=1), waiting("small", 1)]
    found = schedule(cluster(jobs, [holder("h", 4)]))
    assert (found.admit, found.reservations) == (("small",), {})
    assert found.next_at == ago(60) + timedelta(hours=1)


def test_pods_are_waited_for_as_long_as_they_may_take() -> None:
    slow = holder("slow", 8, ending_since=ago(ENDING_PATIENCE.total_seconds()), preempted_for="high")
    jobs = [waiting("high", 4, priority=9)]
    others = [holder("low", 4)]
    assert [v.uid for v in schedule(cluster(jobs, [slow, *others], of=queue(12, **LOWER))).preempt] == ["low"]
    slow = replace(slow, grace=timedelta(minutes=10))
    found = schedule(cluster(jobs, [slow, *others], of=queue(12, **LOWER)))
    assert (found.preempt, found.claims) == ((), ("high",))
    assert found.next_at == NOW + timedelta(minutes=10)


def test_one_of_many_that_may_displace_holds_up_no_other() -> None:
    """Two of a kind: the second gets the second victim."""
    jobs = [waiting(f"high-{n}", 4, priority=9, age=900 - n) for n in range(3)]
    found = schedule(cluster(jobs, [holder("a", 4, age=2), holder("b", 4, age=1)], of=queue(8, **LOWER)))
    assert [(v.uid, v.preemptor) for v in found.preempt] == [("b", "high-0"), ("a", "high-1")]
    assert found.claims == ("high-0", "high-1")
    assert found.pending["high-2"].why is Why.WAITING_FOR_QUOTA


def test_a_right_to_displace_counts_though_one_without_it_asked_for_the_same() -> None:
    of = queue(quota={GPU: 8000, "cpu": 4000}, **LOWER)
    cpu = (PodSet(1, (("cpu", 4000),)),)
    jobs = [
        waiting("holds-cpu", pods=cpu, age=7200, priority=9),
        waiting("risen", 4, preemptions=4, age=900),
        waiting("able", 4, priority=5, age=600),
    ]
    held = [holder("c", pods=(PodSet(1, (("cpu", 1000),)),), priority=9), holder("low", 8)]
    found = schedule(cluster(jobs, held, of=of))
    assert found.reservations[Q].uid == "holds-cpu"
    assert sorted(found.positions, key=found.positions.__getitem__) == ["holds-cpu", "risen", "able"]
    assert [(v.uid, v.preemptor) for v in found.preempt] == [("low", "able")]


def test_the_reservation_is_the_first_that_waited_long_enough() -> None:
    """Though one before it, that came later, asks for the same."""
    jobs = [waiting("new", 8, age=60), waiting("old", 8, age=7200, namespace="team-b")]
    found = schedule(cluster(jobs, [holder("h", 4, namespace="team-b")]))
    assert found.positions == {"new": 1, "old": 2}
    assert found.reservations[Q].uid == "old"


def test_the_end_of_a_back_off() -> None:
    jobs = [waiting("over", 4, not_before=NOW), waiting("later", 4, not_before=NOW + timedelta(seconds=1))]
    found = schedule(cluster(jobs))
    assert found.admit == ("over",)
    assert found.next_at == NOW + timedelta(seconds=1)


def test_a_preempted_job_displaces_nobody_at_once() -> None:
    job = waiting("back", 4, age=9000, waiting_since=ago(10), preemptions=1, priority=5)
    found = schedule(cluster([job], [holder("low", 8)], of=queue(8, **LOWER)))
    assert (found.preempt, found.claims) == ((), ("back",))
    assert found.next_at == ago(10) + DISPLACE_AFTER


def test_promises_are_shared_out_as_admissions_are() -> None:
    jobs = [waiting(f"a{n}", 4, age=900 - n, priority=9) for n in range(2)]
    jobs.append(waiting("b0", 4, namespace="team-b", priority=9))
    held = [holder(f"low-{n}", 4, namespace="other", age=n) for n in range(2)]
    found = schedule(cluster(jobs, held, of=queue(8, **LOWER)))
    assert [(v.uid, v.preemptor) for v in found.preempt] == [("low-0", "a0"), ("low-1", "b0")]
    assert found.positions == {"a0": 1, "b0": 2, "a1": 3}


def test_what_one_victim_leaves_over_is_for_the_next() -> None:
    jobs = [waiting(f"high-{n}", 2, age=900 - n, priority=9) for n in range(2)]
    held = [holder("big", 4, age=1), holder("other", 4, age=2)]
    found = schedule(cluster(jobs, held, of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["big"]
    assert found.claims == ("high-0", "high-1")


def test_who_ends_already_is_asked_no_more() -> None:
    stuck = holder("a-stuck", 4, ending_since=ago(9999), preempted_for="high")
    found = schedule(cluster([waiting("high", 4, priority=9)], [stuck, holder("low", 4)], of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["low"]


def test_one_reservation_per_queue() -> None:
    of = queue(quota={GPU: 8000, "cpu": 4000})
    jobs = [
        waiting("gpus", 8, age=9000),
        waiting("cpus", pods=(PodSet(1, (("cpu", 4000),)),), age=8000),
        waiting("little", pods=(PodSet(1, (("cpu", 1000),)),)),
    ]
    held = [holder("g", 4), holder("c", pods=(PodSet(1, (("cpu", 2000),)),))]
    found = schedule(cluster(jobs, held, of=of))
    assert found.reservations == {Q: ("gpus", {GPU: 4000})}
    assert found.admit == ("little",)


def test_a_back_off_is_of_one_job_and_not_of_its_like() -> None:
    jobs = [waiting("able", age=9), waiting("backs-off", age=8, not_before=NOW + timedelta(seconds=1))]
    assert schedule(cluster(jobs)).admit == ("able",)
