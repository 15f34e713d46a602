"""Retries and preemptions are counted apart, each lost pod once: design section 2's table, and around it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.conditions import ConditionType, is_true
from tests.builders import NOW, seconds
from tests.unit.batch_operator.reconcile.course import TRAINING, Course, inputs

MIXED = {
    "components": {
        "worker": {"image": "example.org/a:1", "max_parallelism": 8, "restart_scope": "Index"},
        "trainer": {"image": "example.org/b:1", "max_parallelism": 8, "restart_scope": "Job"},
    },
    "default_config": {"worker": {"parallelism": 1}, "trainer": {"parallelism": 1}},
}


def said(completed: str, **more: Any) -> str:
    return json.dumps({"completed": completed, **more})


class TestTheTable:
    def test_one_index_fails_three_times_then_succeeds(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1)
        for attempt, second in enumerate((10, 30, 60)):
            course.fails(0, attempt).at(second).at(second + 10 * 2**attempt)
        course.succeeds(1).succeeds(0, attempt=3).at(200)
        assert (course.state, course.counts) == ("COMPLETED", (3, 0))

    def test_one_index_fails_four_times(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1)
        for attempt, second in enumerate((10, 30, 60)):
            course.fails(0, attempt).at(second).at(second + 10 * 2**attempt)
        course.fails(0, 3, exit_code=7).at(200)
        assert course.state == "RUNNING", "its sibling is ended first"
        course.gone(1).at(201)
        assert (course.state, course.counts) == ("FAILED", (3, 0))
        assert course.status.error is not None
        assert (course.status.error.code, course.status.error.exit_code) == ("RETRIES_EXHAUSTED", 7)

    def test_two_indexes_fail_twice_each(self) -> None:
        course = Course(inputs(4, 2, policy={"max_retries": 2})).at(0).runs(0, 1).at(1)
        for attempt, second in enumerate((10, 40)):
            course.fails(0, attempt).fails(1, attempt).at(second).at(second + 20)
        assert course.counts == (4, 0)
        assert course.living == [(0, 2), (1, 2)], "the limit is per index"

    def test_a_drain_takes_three_of_eight_at_once_scope_index(self) -> None:
        course = Course(inputs(16, 8)).at(0).runs(*range(8)).at(1)
        for index in (2, 3, 5):
            course.preempted(index)
        course.at(10)
        assert (course.state, course.counts) == ("RUNNING", (0, 3))
        assert [place for place in course.living if place[1] == 1] == [(2, 1), (3, 1), (5, 1)]
        assert "PREEMPTED" not in course.states

    def test_a_drain_takes_three_of_eight_at_once_scope_job(self) -> None:
        course = Course(inputs(16, 8), **TRAINING).at(0).runs(*range(8)).at(1)
        for index in (2, 3, 5):
            course.preempted(index)
        course.at(10)
        assert course.counts == (0, 1), "a round"
        for index in (0, 1, 4, 6, 7):
            course.gone(index)
        course.at(11, passes=1)
        assert course.state == "PREEMPTED"
        course.at(12)
        assert course.state == "ADMITTED"
        assert course.living == [(index, 1) for index in range(8)]

    def test_max_preemptions_0_fails_at_the_first(self) -> None:
        course = Course(inputs(4, 1, policy={"max_preemptions": 0})).at(0).runs(0).at(1).preempted(0).at(10)
        assert (course.state, course.counts) == ("FAILED", (0, 1))
        assert course.error_code == "PREEMPTIONS_EXHAUSTED"

    def test_a_retry_request_counts_and_limits_count_anew(self) -> None:
        course = Course(inputs(4, 1, policy={"max_retries": 1})).at(0).runs(0).at(1)
        course.fails(0).at(10).at(20).fails(0, 1).at(30)
        assert (course.state, course.counts) == ("FAILED", (1, 0))
        course.annotated(retry_requested="now").at(40, passes=1)
        assert (course.state, course.counts) == ("PENDING", (2, 0))
        course.at(41).fails(0, 2).at(50)
        assert (course.counts, course.state) == ((3, 0), "PENDING"), "a first retry is allowed again"


class TestBackOff:
    def test_it_doubles_and_stands_in_the_status(self) -> None:
        course = Course(inputs(4, 1)).at(0).runs(0).at(1).fails(0).at(100)
        assert course.worker.next_retry == {"0": NOW + seconds(110)}
        assert (course.state, course.living) == ("PENDING", [])
        assert course.status.message == "waiting to retry; next try at 2026-04-14T10:01:50Z; 0 of 4 inputs done"
        course.at(109)
        assert course.plan.requeue_after == seconds(1)
        course.at(110)
        assert (course.state, course.living) == ("ADMITTED", [(0, 1)])
        course.fails(0, 1).at(120)
        assert course.worker.next_retry == {"0": NOW + seconds(140)}

    def test_it_is_capped(self) -> None:
        policy = {"max_retries": -1, "backoff_limit_seconds": 15}
        course = Course(inputs(4, 1, policy=policy)).at(0).runs(0).at(1)
        for attempt in range(4):
            course.fails(0, attempt).at(100 * attempt + 10).at(100 * attempt + 25)
            assert course.living == [(0, attempt + 1)]

    def test_siblings_run_on_meanwhile(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).fails(0).at(10)
        assert (course.state, course.living) == ("RUNNING", [(1, 0)])
        assert "worker 0 will be retried at 2026-04-14T10:00:20Z" in str(course.status.message)
        assert course.plan.requeue_after == seconds(10)

    def test_the_last_sibling_ends_meanwhile(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).fails(0).at(10).succeeds(1).at(12)
        assert course.state == "PENDING", "it holds no place while nothing of it runs"
        course.at(20).succeeds(0, attempt=1).at(30)
        assert (course.state, course.counts) == ("COMPLETED", (1, 0))

    def test_a_preemption_has_none(self) -> None:
        course = Course(inputs(4, 1)).at(0).runs(0).at(1).preempted(0).at(10)
        assert course.states == ["ADMITTED", "RUNNING", "PREEMPTED", "ADMITTED"]
        assert course.living == [(0, 1)]

    def test_the_third_loss_in_a_row_without_a_start_has_one(self) -> None:
        rejected = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices"}
        course = Course(inputs(4, 1)).at(0)
        for attempt in range(2):
            course.pod(0, attempt, **rejected).at(10 * attempt + 1)
            assert course.living == [(0, attempt + 1)], "at once"
        course.pod(0, 2, **rejected).at(30)
        assert (course.state, course.living, course.counts) == ("PENDING", [], (0, 3))
        course.at(40)
        assert course.living == [(0, 3)]
        course.runs(0, attempt=3).at(41).preempted(0, 3).at(50)
        assert course.living == [(0, 4)], "it had started: the row is broken"


class TestScopeJob:
    def test_a_failure_ends_the_round_and_counts_once(self) -> None:
        course = Course(inputs(4, 2), **TRAINING).at(0).runs(0, 1).at(1).fails(0).fails(1).at(10)
        assert (course.state, course.counts) == ("PENDING", (1, 0))
        course.at(20)
        assert course.living == [(0, 1), (1, 1)]

    def test_a_preemption_explains_its_neighbours_failure(self) -> None:
        course = Course(inputs(4, 2), **TRAINING).at(0).runs(0, 1).at(1)
        course.pod(0, disruption="EvictionByEvictionAPI", deleting=True).fails(1).at(10)
        assert course.counts == (0, 1)
        course.preempted(0).at(12)
        assert course.counts == (0, 1)

    def test_the_limit_is_per_job(self) -> None:
        course = Course(inputs(4, 2, policy={"max_retries": 1}), **TRAINING).at(0).runs(0, 1).at(1)
        course.fails(0).at(10).gone(1).at(20).fails(1, 1).at(30).gone(0, 1).at(31)
        assert (course.state, course.counts, course.error_code) == ("FAILED", (1, 0), "RETRIES_EXHAUSTED")

    def test_training_is_scope_job_by_itself(self) -> None:
        spec = inputs(4, 2, pipeline_type="training")
        course = Course(spec, type="training").at(0).runs(0, 1).at(1).preempted(0).at(10)
        assert course.ledger.stopping is not None
        assert course.pods["worker", 1, 0].deleting

    def test_finished_inputs_are_not_repeated(self) -> None:
        course = Course(inputs(8, 2), **TRAINING).at(0).runs(0, 1).at(1)
        course.fails(0, termination_message=said("0-2")).fails(1, termination_message=said("4")).at(10).at(20)
        assert course.blocks[0, 1] + " " + course.blocks[1, 1] == "3,5 6-7"


class TestWhatIsLeft:
    def test_a_replacement_takes_up_what_its_predecessor_left(self) -> None:
        course = Course(inputs(8, 2)).at(0).runs(0, 1).at(1)
        course.preempted(0, termination_message=said("0-1", processing="2")).at(10)
        assert course.blocks[0, 1] == "2-3"
        assert course.status.input_progress is not None
        assert course.status.input_progress.completed == 2

    def test_a_new_round_shares_the_open_inputs_out_anew(self) -> None:
        course = Course(inputs(8, 2)).at(0).runs(0, 1).at(1)
        course.succeeds(1, termination_message=said("4-7")).at(5)
        course.preempted(0, termination_message=said("0")).at(10)
        assert {place: block for place, block in course.blocks.items() if place[1] == 1} == {(0, 1): "1-2", (1, 1): "3"}

    def test_an_input_does_not_escape_its_limit_by_another_index(self) -> None:
        course = Course(inputs(4, 2, policy={"max_retries": 1, "backoff_seconds": 0})).at(0).runs(0, 1).at(1)
        course.fails(1).at(10).runs(1, attempt=1).succeeds(0).at(11).preempted(1, 1).at(12)
        assert course.blocks[0, 2] + course.blocks[1, 2] == "23"
        course.fails(1, 2).gone(0, 2).at(20)
        assert course.error_code == "RETRIES_EXHAUSTED", "index 1 had used its retry on these inputs"

    def test_a_pod_that_had_done_everything_is_not_replaced(self) -> None:
        course = Course(inputs(4, 1)).at(0).runs(0).at(1)
        course.preempted(0, termination_message=said("0-3")).at(10)
        assert (course.state, course.counts) == ("COMPLETED", (0, 0))

    def test_a_vanished_pod_that_had_done_everything_is_not_replaced(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1)
        course.pod(0, inputs="", deleted=True, started_at=None)
        course.job = course.job.model_copy(
            update={"status": course.status.model_copy(update={"ledger": course.ledger.model_copy(
                update={"completed_inputs": "0-1"})})}
        )  # fmt: skip
        course.succeeds(1).at(10)
        assert (course.state, course.counts) == ("COMPLETED", (0, 0))

    def test_finished_indexes_stay_finished(self) -> None:
        plain = {"components": {n: {"image": "example.org/x:1"} for n in ("worker", "server")}}
        course = Course(inputs(2, 1), **plain).at(0).runs(0).at(1)
        course.pod(0, component="server", phase="Succeeded", exit_code=0, started_at=NOW).at(2).preempted(0).at(3)
        assert course.states[-2:] == ["PREEMPTED", "ADMITTED"]
        assert sorted(course.pods) == [("server", 0, 0), ("worker", 0, 0), ("worker", 0, 1)]


class TestCountedOnce:
    def test_a_pod_that_comes_late_is_noted(self) -> None:
        course = Course(inputs(4, 2)).at(0)
        del course.pods["worker", 1, 0]
        course.runs(0).at(1, passes=1)
        assert (course.state, course.worker.observed_indexes) == ("RUNNING", "0")
        course.at(2, passes=1)
        assert course.worker.observed_indexes == "0-1", "or nobody could tell if it vanished"

    def test_a_second_look_counts_nothing(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).preempted(0).at(10, passes=5)
        assert course.counts == (0, 1)

    def test_its_object_goes_later(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).preempted(0).at(10).gone(0).at(11)
        assert course.counts == (0, 1)

    def test_a_pod_that_somebody_deletes_counts_once_it_is_gone(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1)
        course.pod(0, deleting=True, deletion_asked_at=NOW + seconds(5)).at(6)
        assert (course.counts, course.living) == ((0, 0), [(0, 0), (1, 0)]), "no twin while it still runs"
        course.gone(0).at(36)
        assert (course.counts, course.living) == ((0, 1), [(0, 1), (1, 0)])

    def test_our_own_deletes_count_as_nothing(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).spec_changes(suspend=True).at(10)
        course.preempted(0).fails(1).at(12)
        assert (course.state, course.counts) == ("PENDING", (0, 0))

    def test_both_kinds_at_once(self) -> None:
        course = Course(inputs(6, 3)).at(0).runs(0, 1, 2).at(1).preempted(0).fails(1).at(10)
        assert (course.counts, course.state) == ((1, 1), "RUNNING")
        assert course.events[-1].startswith("Preempted: pod tep-0190f3-worker-0-0 was preempted (PreemptionByScheduler")


def test_a_preempted_job_says_so_in_its_conditions() -> None:
    course = Course(inputs(4, 1)).at(0).runs(0).at(1).preempted(0).at(10, passes=1)
    assert is_true(course.status.conditions, ConditionType.PREEMPTED)
    assert not is_true(course.status.conditions, ConditionType.ADMITTED)
    assert course.status.message is not None
    assert course.status.message.startswith("preempted: pod tep-0190f3-worker-0-0 was preempted (Preemption")
    course.at(11).runs(0, attempt=1).at(12)
    assert not is_true(course.status.conditions, ConditionType.PREEMPTED)
    assert is_true(course.status.conditions, ConditionType.RUNNING)


@pytest.mark.parametrize("limit", [-1, 5])
def test_exit_64_helps_no_retry(limit: int) -> None:
    course = Course(inputs(4, 1, policy={"max_retries": limit})).at(0).runs(0).at(1).fails(0, exit_code=64).at(10)
    assert (course.state, course.counts, course.error_code) == ("FAILED", (0, 0), "INVALID_REQUEST")


def test_a_node_that_comes_back_brings_no_twin() -> None:
    course = Course(inputs(4, 2)).at(0).runs(0, 1).at(1).pod(0, node_gone=True).at(60)
    assert (course.counts, course.living) == ((0, 1), [(0, 1), (1, 0)])
    course.pod(0, node_gone=False).at(70)
    assert course.pods["worker", 0, 0].deleting


@pytest.mark.parametrize("restarted", [False, True], ids=["report in memory", "operator restarted"])
def test_a_preempted_worker_that_exits_0_fails_none_of_its_open_inputs(restarted: bool) -> None:
    course = Course(inputs(2, 1)).at(0).runs(0).at(3).reports('{"completed": "0", "processing": "1"}').at(10)
    if restarted:
        course.snapshot = replace(course.snapshot, reports={})
    course.preempted(0, phase="Succeeded", exit_code=0).at(20)
    assert (course.state, course.status.failures) == ("ADMITTED", None)


def test_a_suspended_worker_that_exits_0_fails_none_of_its_open_inputs() -> None:
    course = Course(inputs(2, 1)).at(0).runs(0).at(3).reports('{"completed": "0", "processing": "1"}').at(10)
    course.spec_changes(suspend=True).at(11).succeeds(0, finished_at=NOW + seconds(12)).at(20)
    assert (course.state, course.status.failures) == ("PENDING", None)


def test_a_suspended_worker_that_never_reported_completes_nothing_by_exit_0() -> None:
    course = Course(inputs(2, 1)).at(0).runs(0).at(3).spec_changes(suspend=True).at(11)
    course.succeeds(0, finished_at=NOW + seconds(12)).at(20)
    assert (course.state, course.status.progress) == ("PENDING", "0/2")


def test_exit_65_without_inputs_to_judge_is_a_failure() -> None:
    ports = [{"name": "worker.n_shots", "distribute": "replicate", "tracked": False, "required": True}]
    spec = inputs(0, 1)
    del spec["inputs"]["worker.inference"]
    course = Course(spec, input_ports=ports).at(0).fails(0, exit_code=65).at(5)
    assert course.state == "PENDING", course.status.message


def test_the_limit_of_a_round_does_not_count_the_retries_of_single_indexes() -> None:
    spec = inputs(4, 4, parameters={"worker": {"parallelism": 4}, "trainer": {"parallelism": 1}})
    course = Course(spec, **MIXED).at(0).runs(0, 1, 2, 3).runs(0, component="trainer").at(3)
    for index in range(4):
        course.fails(index)
    course.at(5).pod(0, 0, "trainer", phase="Failed", exit_code=1, finished_at=NOW + seconds(6)).at(7)
    assert course.state != "FAILED", course.status.error


def test_a_job_is_completed_once_no_earlier_attempt_lives() -> None:
    course = Course(inputs(1, 1)).at(0).runs(0).at(3).pod(0, node_gone=True, node_unready=True).at(50)
    course.pod(0, node_gone=False, node_unready=False).runs(0, attempt=1).at(60).succeeds(0, attempt=1).at(70)
    assert course.state != "COMPLETED", course.living


def test_a_late_pod_on_a_node_that_is_silent_is_looked_at_again() -> None:
    course = Course(inputs(1, 1)).at(0).runs(0).at(3).preempted(0).at(5, passes=1)
    course.pod(0, phase="Running", exit_code=None, deleting=True, node_unready=True).at(6)
    assert course.plan.requeue_after is not None
