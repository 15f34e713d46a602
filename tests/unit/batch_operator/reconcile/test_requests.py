"""Cancel, retry, suspend and resume."""

import json

import pytest

from batch_operator.api.v1alpha1.conditions import ConditionType, is_true
from tests.builders import NOW, seconds
from tests.unit.batch_operator.reconcile.course import TRAINING, Course, inputs


def running(parallelism: int = 2, **spec: object) -> Course:
    return Course(inputs(2 * parallelism, parallelism, **spec)).at(0).runs(*range(parallelism)).at(1)


class TestCancel:
    def test_the_pods_are_ended_before_it_is_announced(self) -> None:
        course = running().annotated(cancel_requested="1").at(10)
        assert (course.state, course.status.cancelled_at) == ("RUNNING", NOW + seconds(10))
        assert all(pod.deleting for pod in course.pods.values())
        waiting = "stopping (cancelled on request); waiting for 2 of its pods: tep-0190f3-worker-0-0 on node-1, tep-"
        assert str(course.status.message).startswith(waiting)
        assert "Node object" not in str(course.status.message)
        course.pod(0, deletion_due=NOW + seconds(40)).at(71)
        assert str(course.status.message).endswith("if such a node is gone for good, delete its Node object")
        course.gone(0).gone(1).at(80)
        assert (course.state, course.status.cancelled_at) == ("CANCELLED", NOW + seconds(10))
        assert course.status.error is None
        for kind in (ConditionType.FAILED, ConditionType.FINISHED):
            assert is_true(course.status.conditions, kind)
        assert course.counts == (0, 0)

    def test_a_job_in_back_off_is_cancelled_at_once(self) -> None:
        course = Course(inputs(2, 1)).at(0).runs(0).at(1).fails(0).at(10).annotated(cancel_requested="1").at(11)
        assert course.state == "CANCELLED"
        course.at(9999)
        assert course.living == []

    def test_at_first_sight(self) -> None:
        course = Course().annotated(cancel_requested="1").at(0)
        assert (course.states, course.pods) == (["CANCELLED"], {})

    def test_a_job_that_waits_for_its_pipeline(self) -> None:
        course = Course(inputs(2, 1, pipeline_key="unknown")).at(0).annotated(cancel_requested="1").at(5)
        assert course.states == ["PENDING", "CANCELLED"]

    def test_a_completion_already_seen_beats_it(self) -> None:
        course = running().succeeds(0, 1).annotated(cancel_requested="1").at(10)
        assert course.state == "COMPLETED"
        assert course.events[-1] == "RequestRefused: cannot cancel: the job is COMPLETED already"
        events = len(course.events)
        course.at(20)
        assert len(course.events) == events, "told once"

    def test_an_intent_already_written_beats_a_later_completion(self) -> None:
        course = running().annotated(cancel_requested="1").at(10).succeeds(0, 1).at(12)
        assert course.state == "CANCELLED"
        assert course.status.progress == "4/4", "what they have done counts"


class TestRetry:
    def failed(self) -> Course:
        course = running(policy={"max_retries": 0})
        course.succeeds(1, termination_message=json.dumps({"completed": "2", "failed": "3"}))
        return course.fails(0, termination_message=json.dumps({"completed": "0"})).at(10)

    def test_it_goes_on_with_the_inputs_that_are_left(self) -> None:
        course = self.failed()
        assert (course.state, course.counts) == ("FAILED", (0, 0))
        course.annotated(retry_requested="1").at(20, passes=1)
        status = course.status
        assert (course.state, course.counts) == ("PENDING", (1, 0))
        assert (status.error, status.failed_at, status.failures) == (None, None, None)
        assert not is_true(status.conditions, ConditionType.FAILED)
        assert not is_true(status.conditions, ConditionType.FINISHED)
        assert status.input_progress is not None
        assert status.input_progress.model_dump() == {"pending": 2, "processing": 0, "completed": 2, "failed": 0}
        course.at(21)
        assert (course.blocks[0, 1], course.blocks[1, 1]) == ("1", "3")
        course.succeeds(0, 1, attempt=1).at(30)
        assert (course.state, course.status.progress) == ("COMPLETED", "4/4")
        assert is_true(course.status.conditions, ConditionType.COMPLETE)

    def test_one_value_is_one_request(self) -> None:
        course = self.failed().annotated(retry_requested="1").at(20)
        course.fails(0, 1).at(30).gone(1, 1).at(31)
        assert (course.state, course.counts) == ("FAILED", (1, 0))
        course.at(100).annotated(retry_requested="2").at(101)
        assert (course.state, course.counts) == ("ADMITTED", (2, 0))

    def test_of_a_cancelled_job(self) -> None:
        course = running().annotated(cancel_requested="1").at(10).gone(0).gone(1).at(11)
        course.annotated(retry_requested="1").at(20)
        assert (course.state, course.status.cancelled_at) == ("ADMITTED", None)
        assert course.living == [(0, 1), (1, 1)], "names of pods are never used again"

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            pytest.param("RUNNING", "cannot retry: the job is RUNNING; only FAILED and CANCELLED", id="running"),
            pytest.param("COMPLETED", "cannot retry: the job is COMPLETED, nothing is left to do", id="completed"),
        ],
    )
    def test_it_is_refused_with_an_event(self, state: str, words: str) -> None:
        course = running()
        if state == "COMPLETED":
            course.succeeds(0, 1).at(5)
        course.annotated(retry_requested="1").at(10)
        assert (course.state, course.counts) == (state, (0, 0))
        assert course.events[-1].startswith(f"RequestRefused: {words}")
        events = len(course.events)
        course.at(20)
        assert len(course.events) == events, "told once"

    def test_of_a_bad_request_that_has_been_mended_in_the_registry(self) -> None:
        course = Course(inputs(2, 1, parameters={"worker": {"parallelism": 9}})).at(0)
        assert course.error_code == "INVALID_REQUEST"
        better = Course(inputs(2, 1), components={"worker": {"image": "example.org/x:1", "max_parallelism": 9}})
        course.snapshot = better.snapshot
        course.annotated(retry_requested="1").at(10).at(11)
        assert course.state == "ADMITTED"

    def test_run_time_counts_anew(self) -> None:
        course = running(policy={"run_timeout_seconds": 100}).at(101).gone(0).gone(1).at(102)
        assert course.error_code == "RUN_TIMEOUT"
        course.annotated(retry_requested="1").at(200).runs(0, 1, attempt=1).at(210).at(300)
        assert course.state == "RUNNING"


class TestSuspend:
    def test_finished_inputs_stay_finished(self) -> None:
        course = running().spec_changes(suspend=True).at(10)
        assert (course.state, course.living) == ("RUNNING", [(0, 0), (1, 0)])
        course.pod(0, phase="Failed", exit_code=75, termination_message=json.dumps({"completed": "0"}))
        course.gone(0).gone(1).at(20)
        assert course.state == "PENDING"
        assert is_true(course.status.conditions, ConditionType.SUSPENDED)
        assert course.status.message == "suspended; set spec.suspend to false to go on; 1 of 4 inputs done"
        course.at(9999)
        assert course.living == []
        course.spec_changes(suspend=False).at(10_000)
        assert not is_true(course.status.conditions, ConditionType.SUSPENDED)
        assert (course.blocks[0, 1], course.blocks[1, 1]) == ("1-2", "3")
        assert course.counts == (0, 0)

    def test_from_the_start_it_is_pinned_and_gets_no_pod(self) -> None:
        course = Course(inputs(4, 2, suspend=True)).at(0)
        assert (course.states, course.pods) == (["PENDING"], {})
        assert course.ledger.spec_hash is not None
        course.at(1)
        assert course.plan.status is None
        course.spec_changes(suspend=False).at(2)
        assert course.living == [(0, 0), (1, 0)]

    def test_it_shows_beside_what_else_holds_the_job(self) -> None:
        course = Course(inputs(2, 1, pipeline_key="unknown", suspend=True)).at(0)
        assert is_true(course.status.conditions, ConditionType.SUSPENDED)
        assert is_true(course.status.conditions, ConditionType.STALLED)

    def test_it_ends_a_back_off(self) -> None:
        course = Course(inputs(2, 1)).at(0).runs(0).at(1).fails(0).at(10).spec_changes(suspend=True).at(11)
        assert is_true(course.status.conditions, ConditionType.SUSPENDED)
        course.spec_changes(suspend=False).at(12)
        assert course.living == [(0, 1)]

    def test_resumed_before_the_pods_are_gone_it_waits_for_them(self) -> None:
        course = running().spec_changes(suspend=True).at(10).spec_changes(suspend=False).at(11)
        assert course.living == [(0, 0), (1, 0)]
        course.gone(0).gone(1).at(20)
        assert (course.state, course.living) == ("ADMITTED", [(0, 1), (1, 1)])

    def test_it_can_be_cancelled(self) -> None:
        course = Course(inputs(4, 2, suspend=True)).at(0).annotated(cancel_requested="1").at(5)
        assert course.state == "CANCELLED"

    def test_no_timeout_runs(self) -> None:
        policy = {"assign_timeout_seconds": 60, "start_timeout_seconds": 60, "run_timeout_seconds": 60}
        course = running(policy=policy).spec_changes(suspend=True).at(10).gone(0).gone(1).at(20).at(9999)
        assert course.state == "PENDING"
        assert course.plan.requeue_after is None
        course.spec_changes(suspend=False).at(10_000).runs(0, 1, attempt=1).at(10_001).at(10_040)
        assert course.state == "RUNNING", "it had run for 9 s before"
        course.at(10_052)
        assert course.ledger.stopping is not None
        assert course.ledger.stopping.reason == "RunTimeout"

    def test_scope_job_starts_whole_again(self) -> None:
        course = Course(inputs(4, 2), **TRAINING).at(0).runs(0, 1).at(1)
        course.spec_changes(suspend=True).at(10).gone(0).gone(1).at(11).spec_changes(suspend=False).at(12)
        assert course.living == [(0, 1), (1, 1)]


def test_a_cancel_of_a_failed_job_does_not_swallow_its_retry() -> None:
    course = Course(inputs(1, 1)).at(0).fails(0, exit_code=64).at(5)
    course.annotated(retry_requested="r1", cancel_requested="c1").at(6)
    assert course.state == "ADMITTED", course.events


def test_a_refused_retry_of_a_stalled_job_is_told() -> None:
    course = Course(inputs(1, 1, pipeline_key="nothing")).at(0).annotated(retry_requested="r1").at(6)
    assert "RequestRefused: cannot retry: the job is PENDING; only FAILED and CANCELLED" in course.events[-1]
