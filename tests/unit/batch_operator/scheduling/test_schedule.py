from datetime import timedelta
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batch_queue import LabelSelector, Preemption, QueueRecord, Stop, Strategy
from batch_operator.scheduling.decisions import Why
from batch_operator.scheduling.observed import DISPLACE_AFTER, ENDING_PATIENCE, PodSet
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.words import words
from tests.builders import NOW, seconds
from tests.unit.batch_operator.scheduling.scenes import GPU, Q, ago, cluster, holder, node, pods, queue, waiting

STRICT: dict[str, Any] = {"strategy": Strategy.STRICT_FIFO}
LOWER: dict[str, Any] = {"preemption": Preemption.LOWER_PRIORITY}


def why(cluster_: object, uid: str) -> Why:
    return schedule(cluster_).pending[uid].why  # type: ignore[arg-type]


# order


def test_oldest_first_among_equals() -> None:
    found = schedule(cluster([waiting("new", 8, age=1), waiting("old", 8, age=9)]))
    assert found.admit == ("old",)
    assert found.positions == {"new": 1}


def test_priority_before_age() -> None:
    assert schedule(cluster([waiting("old", 8, age=9), waiting("high", 8, age=1, priority=5)])).admit == ("high",)


def test_share_before_age_and_it_rises_with_each_admission() -> None:
    jobs = [waiting(f"a{n}", 2, age=9 - n) for n in range(3)]
    jobs += [waiting(f"b{n}", 2, age=5 - n, namespace="team-b") for n in range(3)]
    assert schedule(cluster(jobs)).admit == ("a0", "b0", "a1", "b1")


def test_the_share_rises_for_jobs_of_any_size() -> None:
    jobs = [waiting("a0", 1, age=9), waiting("a1", 2, age=8), waiting("b0", 3, age=1, namespace="team-b")]
    assert schedule(cluster(jobs)).admit == ("a0", "b0", "a1")


def test_a_weight_of_two_gets_twice_as_much() -> None:
    jobs = [waiting(f"{team}{n}", 1, age=20 - n, namespace=team) for n in range(9) for team in "ab"]
    found = schedule(cluster(jobs, of=queue(9, weights={"b": 2})))
    assert sorted(uid[0] for uid in found.admit) == ["a"] * 3 + ["b"] * 6


def test_a_weight_of_zero_comes_after_its_equals() -> None:
    jobs = [waiting("z", 4, age=9, namespace="z"), waiting("a", 4, age=1), waiting("b", 4, age=2)]
    assert schedule(cluster(jobs, of=queue(8, weights={"z": 0}))).admit == ("b", "a")


def test_dominant_share_is_the_largest_of_any_resource() -> None:
    memory_hog = (PodSet(1, (("memory", 600),)),)
    held = [holder("m", namespace="hog", pods=memory_hog), holder("g", 4, namespace="team-a")]
    jobs = [waiting("hog", 4, age=9, namespace="hog"), waiting("other", 4, age=1)]
    of = queue(quota={GPU: 8000, "memory": 1000})
    assert schedule(cluster(jobs, held, of=of)).admit == ("other",)


@pytest.mark.parametrize(("preemptions", "first"), [(1, "high"), (2, "low"), (3, "low")], ids=["one", "two", "three"])
def test_every_second_preemption_is_a_step_up(preemptions: int, first: str) -> None:
    jobs = [waiting("low", 8, age=9, preemptions=preemptions), waiting("high", 8, age=1, priority=100)]
    assert schedule(cluster(jobs)).admit == (first,)


def test_at_most_three_steps() -> None:
    jobs = [waiting("low", 8, age=9, preemptions=100)]
    jobs += [waiting(f"p{n}", 8, age=1, priority=n) for n in (1, 2, 3, 4)]
    assert schedule(cluster(jobs)).admit == ("p4",)


def test_strict_fifo_blocks_behind_the_head() -> None:
    found = schedule(
        cluster([waiting("big", 6, age=9), waiting("small", 1, age=1)], [holder("h", 4)], of=queue(**STRICT))
    )
    assert found.admit == ()
    assert words(found.pending["small"]) == "waits behind team-a/job-big (strategy StrictFIFO)"


def test_best_effort_goes_past_the_head() -> None:
    assert schedule(cluster([waiting("big", 6, age=9), waiting("small", 1, age=1)], [holder("h", 4)])).admit == (
        "small",
    )


def test_a_head_that_waited_long_keeps_what_comes_free() -> None:
    jobs = [waiting("big", 6, age=3600), waiting("small", 1, age=1)]
    found = schedule(cluster(jobs, [holder("h", 4)]))
    assert found.admit == ()
    assert found.reservations[Q] == ("big", {GPU: 4000})
    assert found.pending["big"].missing == ((GPU, 2000),)
    assert "kept for a job that waited longer" in words(found.pending["small"])


def test_what_the_reservation_does_not_need_is_given_out() -> None:
    jobs = [waiting("big", 6, age=3600), waiting("small", 1, age=1)]
    found = schedule(cluster(jobs, [holder("h", 1), holder("i", 2)], of=queue(9)))
    assert found.admit == ("big",)
    found = schedule(cluster(jobs, [holder("h", 4)], of=queue(quota={GPU: 8000, "cpu": 1000})))
    assert found.admit == ()
    cpu_only = waiting("cpu", age=1, pods=(PodSet(1, (("cpu", 1000),)),))
    assert schedule(cluster([*jobs, cpu_only], [holder("h", 4)], of=queue(quota={GPU: 8000, "cpu": 1000}))).admit == (
        "cpu",
    )


def test_until_it_has_waited_long_enough_it_is_looked_at_again() -> None:
    found = schedule(cluster([waiting("big", 6, age=3000)], [holder("h", 4)]))
    assert found.next_at == NOW + seconds(600)


# preemption


def test_the_lowest_priority_and_of_these_the_newest_gives_way() -> None:
    held = [holder("old", 4, age=900), holder("new", 4, age=100), holder("mid", 4, age=1, priority=3)]
    found = schedule(cluster([waiting("high", 4, priority=9)], held, of=queue(12, **LOWER)))
    assert [(v.uid, v.preemptor, v.reason) for v in found.preempt] == [("new", "high", "Preempted")]
    assert found.admit == ()
    assert found.claims == ("high",)
    assert (
        why(cluster([waiting("high", 4, priority=9)], held, of=queue(12, **LOWER)), "high")
        is Why.WAITING_FOR_PREEMPTION
    )


def test_two_give_way_where_one_is_not_enough() -> None:
    held = [holder("a", 4, age=3), holder("b", 4, age=2)]
    found = schedule(cluster([waiting("high", 8, priority=9)], held, of=queue(8, **LOWER)))
    assert {v.uid for v in found.preempt} == {"a", "b"}


def test_who_is_not_needed_is_put_back() -> None:
    held = [holder("low", 2, age=9), holder("mid", 6, age=9, priority=1)]
    found = schedule(cluster([waiting("high", 6, priority=9)], held, of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["mid"]


def test_of_equals_a_smaller_one_goes_where_it_is_enough() -> None:
    held = [holder("big", 6, age=1), holder("small", 1, age=9), holder("other", 1, age=99)]
    found = schedule(cluster([waiting("high", 1, priority=9)], held, of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["small"]


def test_nobody_goes_where_all_together_are_not_enough() -> None:
    held = [holder("low", 4), holder("equal", 4, priority=9)]
    found = schedule(cluster([waiting("high", 8, priority=9)], held, of=queue(8, **LOWER)))
    assert found.preempt == ()
    assert found.pending["high"].why is Why.WAITING_FOR_QUOTA


def test_never_within_the_minimum_runtime() -> None:
    of = queue(8, **LOWER, min_runtime=timedelta(minutes=30))
    found = schedule(cluster([waiting("high", 8, priority=9)], [holder("low", 8, age=600)], of=of))
    assert found.preempt == ()
    assert found.next_at == NOW + timedelta(minutes=20)


def test_a_queue_that_never_preempts() -> None:
    assert schedule(cluster([waiting("high", 8, priority=9)], [holder("low", 8)])).preempt == ()


def test_a_new_job_first_holds_what_comes_free_by_itself() -> None:
    jobs = [waiting("high", 4, priority=9, age=10), waiting("low", 1, age=100)]
    found = schedule(cluster(jobs, [holder("low-1", 6)], of=queue(8, **LOWER)))
    assert (found.admit, found.preempt, found.claims) == ((), (), ("high",))
    assert found.next_at == ago(10) + DISPLACE_AFTER


def test_the_freed_quota_is_held_for_the_preemptor() -> None:
    """One of two has gone; what it left is not given to a small job, and nobody else has to go."""
    jobs = [waiting("high", 8, priority=9), waiting("victim", 4, preemptions=1, age=9000), waiting("small", 1)]
    ending = holder("b", 4, ending_since=ago(10), preempted_for="high")
    found = schedule(cluster(jobs, [ending, holder("c", 2)], of=queue(10, **LOWER)))
    assert (found.admit, found.preempt) == ((), ())
    assert words(found.pending["high"]) == "waits until team-a/job-b have given way"
    found = schedule(cluster(jobs, [holder("c", 2)], of=queue(10, **LOWER)))
    assert found.admit == ("high",)


def test_pods_that_do_not_end_are_not_waited_for() -> None:
    stuck = holder("stuck", 4, ending_since=ago(ENDING_PATIENCE.total_seconds()), preempted_for="high")
    found = schedule(cluster([waiting("high", 4, priority=9)], [stuck, holder("low", 4)], of=queue(8, **LOWER)))
    assert [v.uid for v in found.preempt] == ["low"]


def test_quota_of_ending_pods_is_not_free() -> None:
    found = schedule(cluster([waiting("next", 8)], [holder("h", 1, ending_since=ago(1))]))
    assert found.admit == ()
    assert found.pending["next"].missing == ((GPU, 1000),)


def test_a_rise_protects_but_does_not_displace() -> None:
    risen = waiting("risen", 8, preemptions=2)
    found = schedule(cluster([risen], [holder("h", 8), holder("mid", 0, priority=5)], of=queue(8, **LOWER)))
    assert found.preempt == ()
    mid = waiting("mid", 8, priority=5)
    found = schedule(cluster([mid], [holder("risen", 8, preemptions=2)], of=queue(8, **LOWER)))
    assert found.preempt == ()


# stopped, unknown, closed


def test_hold_admits_none_and_lets_run() -> None:
    found = schedule(cluster([waiting("w")], [holder("h")], of=queue(stop=Stop.HOLD)))
    assert (found.admit, found.preempt) == ((), ())
    assert found.pending["w"].why is Why.QUEUE_STOPPED
    assert found.positions == {"w": 1}


def test_drain_displaces_all_whatever_their_runtime() -> None:
    held = [holder("h", age=1), holder("ending", ending_since=ago(1))]
    found = schedule(cluster([waiting("w")], held, of=queue(stop=Stop.HOLD_AND_DRAIN, min_runtime=timedelta(hours=1))))
    assert [(v.uid, v.reason, v.preemptor) for v in found.preempt] == [("h", "QueueStopped", "")]


def test_only_default_needs_no_queue() -> None:
    jobs = [waiting("d", 500, queue="default"), waiting("x", queue="reserach")]
    found = schedule(cluster(jobs, queues={}))
    assert found.admit == ("d",)
    assert words(found.pending["x"]) == "there is no Queue reserach"
    assert found.positions == {}


def test_jobs_of_a_deleted_queue_run_on() -> None:
    found = schedule(cluster([waiting("w")], [holder("h")], queues={}))
    assert (found.admit, found.preempt, found.pending["w"].why) == ((), (), Why.QUEUE_NOT_FOUND)


def test_a_queue_is_closed_to_namespaces_that_it_does_not_select() -> None:
    of = queue(selector=LabelSelector(match_labels={"tier": "research"}))
    jobs = [waiting("in", namespace="team-a"), waiting("out", namespace="team-b")]
    found = schedule(cluster(jobs, of=of, namespaces={"team-a": {"tier": "research"}, "team-b": {}}))
    assert found.admit == ("in",)
    assert words(found.pending["out"]) == "Queue research is not open to namespace team-b (its selector)"


def test_a_queue_is_closed_to_namespaces_whose_labels_nobody_has_read() -> None:
    spare = LabelSelector.model_validate(
        {"match_expressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}
    )
    by_name = LabelSelector(match_labels={"kubernetes.io/metadata.name": "team-a"})
    queues = {"spare": queue(name="spare", selector=spare), Q: queue(selector=by_name)}
    found = schedule(cluster([waiting("labels", queue="spare"), waiting("name")], queues=queues))
    assert found.admit == ("name",)
    assert "those of namespace team-a are not known" in words(found.pending["labels"])


def test_a_queue_that_selects_nothing_harms_no_other() -> None:
    closed = queue(name="closed", selector=LabelSelector(match_labels={"no": "such"}))
    jobs = [waiting("c", queue="closed"), waiting("w")]
    assert schedule(cluster(jobs, queues={Q: queue(), "closed": closed})).admit == ("w",)


def test_an_unreadable_queue_admits_none_and_drains_none() -> None:
    broken = QueueRecord(Q, stop=Stop.HOLD, problem="spec.quota: 'many' is no quantity")
    found = schedule(cluster([waiting("w")], [holder("h")], of=broken))
    assert (found.admit, found.preempt) == ((), ())
    assert words(found.pending["w"]) == "Queue research cannot be read: spec.quota: 'many' is no quantity"


def test_a_lowered_quota_takes_nothing_away() -> None:
    found = schedule(cluster([waiting("w")], [holder("h", 8)], of=queue(4)))
    assert (found.admit, found.preempt) == ((), ())
    assert found.queues[Q].free == {GPU: -4000}
    assert found.pending["w"].missing == ((GPU, 1000),)


def test_an_over_full_queue_still_admits_what_asks_for_none_of_it() -> None:
    cpu_only = waiting("cpu", pods=(PodSet(1, (("cpu", 1000),)),))
    assert schedule(cluster([cpu_only], [holder("h", 8)], of=queue(4))).admit == ("cpu",)


# why pending


def test_precedence() -> None:
    """One job that everything holds back: each obstacle removed shows the next reason."""
    job: dict[str, Any] = {
        "suspended": True,
        "queue": "nowhere",
        "not_before": NOW + seconds(60),
        "pods": pods(9, node_selector=(("x", "y"),)),
    }
    held = [holder("h", 8, priority=0)]

    def shown(of: QueueRecord) -> Why:
        return schedule(cluster([waiting("w", priority=9, **job)], held, of=of, nodes=(node(8),))).pending["w"].why

    stopped = queue(stop=Stop.HOLD, require_matching_node=True)
    seen = [shown(stopped)]
    job["suspended"] = False
    seen.append(shown(stopped))
    job["queue"] = Q
    seen += [shown(stopped), shown(queue(require_matching_node=True))]
    job["pods"] = pods(8, node_selector=(("x", "y"),))
    seen.append(shown(queue(require_matching_node=True)))
    job["pods"] = pods(8)
    seen.append(shown(queue(**LOWER)))
    held.clear()
    seen.append(shown(queue(**LOWER)))
    job["not_before"] = None
    held.append(holder("h", 8, ending_since=ago(1), preempted_for="w"))
    seen.append(shown(queue(**LOWER)))
    assert seen == [
        Why.SUSPENDED,
        Why.QUEUE_NOT_FOUND,
        Why.QUEUE_STOPPED,
        Why.EXCEEDS_MAX_QUOTA,
        Why.NO_MATCHING_NODE,
        Why.WAITING_FOR_QUOTA,
        Why.BACKING_OFF,
        Why.WAITING_FOR_PREEMPTION,
    ]


def test_missing_and_who_holds_it() -> None:
    held = [holder("a", 2), holder("b", 5, namespace="team-b")]
    found = schedule(cluster([waiting("w", 3)], held))
    assert words(found.pending["w"]) == "2 nvidia.com/gpu missing (in use: team-b 5, team-a 2)"


def test_what_exceeds_the_quota_stands_in_no_line_and_blocks_none() -> None:
    found = schedule(cluster([waiting("huge", 9, age=9), waiting("w")], of=queue(**STRICT)))
    assert found.admit == ("w",)
    assert "huge" not in found.positions
    assert words(found.pending["huge"]) == "asks for 9 nvidia.com/gpu, the quota of Queue research is 8"


def test_no_node_is_a_remark_unless_the_queue_insists() -> None:
    job = waiting("w", pods=(PodSet(1, ((GPU, 8000),), labels_above=(("nvidia.com/gpu.memory", 76_000),)),))
    small = (node(4, nvidia_com="x"),)
    assert schedule(cluster([job], nodes=small)).admit == ("w",)
    found = schedule(cluster([job], [holder("h")], nodes=small))
    assert words(found.pending["w"]).endswith(
        "; no node that is there could hold a pod with 8 nvidia.com/gpu, nvidia.com/gpu.memory over 76000"
    )
    found = schedule(cluster([job], nodes=small, of=queue(require_matching_node=True)))
    assert found.pending["w"].why is Why.NO_MATCHING_NODE
    assert schedule(cluster([job], nodes=None, of=queue(require_matching_node=True))).admit == ("w",)


def test_a_job_in_back_off_keeps_its_place_and_blocks_none() -> None:
    jobs = [waiting("backs-off", age=9, not_before=NOW + seconds(30)), waiting("w", 8)]
    found = schedule(cluster(jobs, of=queue(**STRICT)))
    assert found.admit == ("w",)
    assert found.next_at == NOW + seconds(30)
    assert schedule(cluster(jobs[:1])).pending["backs-off"].why is Why.BACKING_OFF


def test_place_and_depth_are_of_the_own_queue() -> None:
    other = queue(name="other")
    jobs = [
        waiting("a", 8, age=9),
        waiting("b", 8, age=8),
        waiting("c", 8, queue="other"),
        waiting("s", suspended=True),
    ]
    found = schedule(cluster(jobs, [holder("h"), holder("i", queue="other")], queues={Q: queue(), "other": other}))
    assert found.positions == {"a": 1, "b": 2, "c": 1}
    assert found.depths == {Q: 2, "other": 1}
    assert found.queues[Q].pending == 2
