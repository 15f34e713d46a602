"""Assign, start and run timeouts, the time to live, and deletion by force."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from batch_operator.api.v1alpha1.schema_types import rfc3339
from batch_operator.snapshot import Refusal
from tests.builders import NOW, make_batchjob, make_pipeline, make_snapshot, reconcile, seconds
from tests.unit.batch_operator.reconcile.course import TRAINING, Course, inputs

DELAY = 109
"""What becomes of 60 s with the uid of make_batchjob()."""


def _expired(course: Course) -> list[str]:
    return sorted(delete.name[-3:] for delete in course.plan.expired)


def _forced(course: Course) -> list[tuple[str, int]]:
    return [(delete.name[-3:], delete.grace_seconds) for delete in course.plan.deletes]


class TestAssign:
    def test_a_pipeline_that_never_comes(self) -> None:
        course = Course(inputs(2, 1, pipeline_key="unknown", policy={"assign_timeout_seconds": 60})).at(0)
        assert course.plan.requeue_after == seconds(60)
        course.at(59)
        assert course.state == "PENDING"
        course.at(60)
        assert (course.state, course.error_code) == ("FAILED", "ASSIGN_TIMEOUT")
        assert "'unknown' not found in registry" in str(course.status.message)

    def test_a_quota_that_stays_full(self) -> None:
        course = Course(inputs(2, 1, policy={"assign_timeout_seconds": 60})).at(0)
        course.pods.clear()
        refusal = Refusal("Quota", "exceeded quota: gpus", NOW, times=9)
        course.snapshot = replace(course.snapshot, refusal=refusal)
        course.at(1).at(60)
        assert course.state == "PENDING"
        course.at(61)
        assert (course.state, course.error_code) == ("FAILED", "ASSIGN_TIMEOUT")

    def test_a_back_off_is_no_waiting(self) -> None:
        policy = {"assign_timeout_seconds": 5, "backoff_seconds": 100}
        course = Course(inputs(2, 1, policy=policy)).at(0).runs(0).at(1).fails(0).at(10).at(109).at(110)
        assert course.state == "ADMITTED"


class TestStart:
    def test_back_to_the_queue_with_growing_delay_then_failed(self) -> None:
        course = Course(inputs(4, 2)).at(0).at(599)
        assert course.plan.requeue_after == seconds(1)
        begin = 0
        for attempt, delay in enumerate((DELAY, 2 * DELAY)):
            end = begin + 600
            course.at(end)
            assert all(pod.deleting for pod in course.pods.values())
            course.gone(0, attempt).gone(1, attempt).at(end + 1)
            assert (course.state, course.living) == ("PENDING", [])
            course.at(end + delay - 1)
            assert course.living == []
            begin = end + delay
            course.at(begin)
            assert course.state == "ADMITTED"
        course.at(begin + 600).gone(0, 2).gone(1, 2).at(begin + 601)
        assert (course.state, course.error_code, course.counts) == ("FAILED", "START_TIMEOUT", (0, 0))

    def test_scope_index_has_started_with_one_pod_of_each_component(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0).at(10).at(5000)
        assert (course.state, course.living) == ("RUNNING", [(0, 0), (1, 0)])

    def test_a_component_none_of_whose_pods_runs_holds_the_clock(self) -> None:
        two = {"components": {n: {"image": "example.org/x:1"} for n in ("worker", "server")}}
        course = Course(inputs(2, 1), **two).at(0).runs(0).at(10).at(600)
        assert course.ledger.stopping is not None
        assert course.ledger.stopping.reason == "StartTimeout"

    def test_scope_job_has_started_with_every_pod(self) -> None:
        course = Course(inputs(4, 2), **TRAINING).at(0).runs(0).at(10).at(600)
        assert course.ledger.stopping is not None

    def test_a_replacement_that_finds_no_place_does_not_stop_its_siblings(self) -> None:
        course = Course(inputs(4, 2)).at(0).runs(0, 1).at(10).preempted(0).at(20).at(5000)
        assert (course.state, course.living) == ("RUNNING", [(0, 1), (1, 0)])

    def test_once_it_has_started_the_row_is_broken(self) -> None:
        course = Course(inputs(2, 1)).at(0).at(600).gone(0).at(601).at(600 + DELAY).runs(0, attempt=1).at(800)
        assert course.ledger.start_timeouts is None

    def test_it_can_be_switched_off(self) -> None:
        course = Course(inputs(2, 1, policy={"start_timeout_seconds": -1})).at(0).at(1_000_000)
        assert course.state == "ADMITTED"


class TestRun:
    def test_it_counts_over_all_attempts(self) -> None:
        course = Course(inputs(2, 1, policy={"run_timeout_seconds": 100})).at(0).runs(0).at(10)
        course.preempted(0).at(60).runs(0, attempt=1).at(1000)
        assert course.ledger.run_seconds == 50
        course.at(1049)
        assert course.ledger.stopping is None
        course.at(1050).gone(0, 1).at(1051)
        assert (course.state, course.error_code) == ("FAILED", "RUN_TIMEOUT")


class TestAClockThatWasADayAhead:
    """The operator before this one wrote times that lie in the future."""

    DAY = 86_400

    def test_a_back_off_is_no_longer_than_it_can_be(self) -> None:
        course = Course(inputs(2, 1)).at(self.DAY).runs(0).at(self.DAY + 1).fails(0).at(self.DAY + 10).at(20)
        assert course.living == [(0, 1)]

    def test_a_start_timeout_counts_from_now(self) -> None:
        course = Course(inputs(2, 1)).at(self.DAY).at(20).at(619)
        assert course.ledger.stopping is None
        course.at(620)
        assert course.ledger.stopping is not None

    def test_a_run_timeout_counts_from_now(self) -> None:
        course = Course(inputs(2, 1, policy={"run_timeout_seconds": 100})).at(self.DAY).runs(0).at(self.DAY + 1)
        course.at(20).at(119)
        assert course.ledger.stopping is None
        course.at(120)
        assert course.ledger.stopping is not None

    def test_a_job_was_admitted_now_at_the_latest(self) -> None:
        """Else no job of higher priority could displace it for a day."""
        course = Course(inputs(2, 1)).at(self.DAY).runs(0).at(self.DAY + 1).at(20)
        assert course.ledger.admission is not None
        assert course.ledger.admission.admitted_at == NOW + seconds(20)


class TestTimeToLive:
    def finished(self, **policy: object) -> Course:
        course = Course(inputs(4, 2, policy={"ttl_seconds_after_finished": 60, **policy})).at(0)
        return course.succeeds(0, 1).at(10)

    def test_the_children_go(self) -> None:
        course = self.finished().at(69)
        assert course.plan.requeue_after == seconds(1)
        assert course.plan.expired == ()
        course.at(70, passes=1)
        assert _expired(course) == ["0-0", "1-0"]
        assert course.plan.expired_configmap
        assert course.state == "COMPLETED"
        course.at(71)
        assert (course.plan.expired, course.plan.status) == ((), None), "once"

    def test_the_job_goes_with_them(self) -> None:
        course = self.finished(ttl_deletes_job=True).at(70, passes=1)
        assert course.plan.delete_job
        assert course.plan.status is None

    def test_a_tracked_job_stays(self) -> None:
        course = self.finished(ttl_deletes_job=True)
        course.job = course.job.model_copy(update={"tracked_by": "Argo CD"})
        course.at(70, passes=1)
        assert not course.plan.delete_job
        assert course.events[-1] == "Kept: kept after its time to live: Argo CD tracks it and would make it again"

    def test_the_pipelines_counts_too(self) -> None:
        course = Course(inputs(4, 2), retry_policy={"ttl_seconds_after_finished": 5}).at(0).succeeds(0, 1).at(10)
        course.file = None
        course.at(15, passes=1)
        assert course.plan.expired_configmap

    def test_a_failed_job_too(self) -> None:
        course = Course(inputs(2, 1, policy={"ttl_seconds_after_finished": 0, "max_retries": 0})).at(0)
        course.fails(0).at(10, passes=1)
        assert course.state == "FAILED"
        course.at(10, passes=1)
        assert len(course.plan.expired) == 1

    @pytest.mark.parametrize("seconds_written", [2**31 - 1, -(2**31)])
    def test_that_somebody_else_wrote_and_no_policy_allows(self, seconds_written: int) -> None:
        """The status is left alone, and nobody gets a stack trace."""
        written = {"status": "COMPLETED", "ledger": {"pipeline_ttl_seconds": seconds_written}}
        plan = reconcile(make_batchjob(status=written), make_snapshot(), NOW)
        assert (plan.reason, plan.status, plan.expired) == ("UnreadableStatus", None, ())
        assert "pipeline_ttl_seconds" in plan.message

    def test_of_a_job_that_was_refused_at_first_sight(self) -> None:
        """A pass before may have made a ConfigMap for a status that came too late."""
        course = Course(inputs(2, 1, pipeline_type="training", policy={"ttl_seconds_after_finished": 60})).at(0)
        assert (course.state, course.error_code) == ("FAILED", "INVALID_REQUEST")
        course.at(60, passes=1)
        assert course.plan.expired_configmap
        course.at(61)
        assert (course.plan.expired_configmap, course.plan.status) == (False, None), "once"
        course.annotated(retry_requested="1").at(62)
        assert (course.state, course.error_code) == ("FAILED", "INVALID_REQUEST"), "it is looked at once more"
        assert course.ledger.children_deleted_at is None

    def test_a_retry_request_comes_before_it(self) -> None:
        policy = {"ttl_seconds_after_finished": 60, "max_retries": 0}
        course = Course(inputs(2, 1, policy=policy)).at(0).fails(0).at(10).annotated(retry_requested="1").at(70)
        assert course.state == "ADMITTED"
        course.fails(0, 1).at(80).at(141)
        assert course.ledger.children_deleted_at is not None


class TestForce:
    def unreachable(self, **component: object) -> Course:
        worker = {"image": "example.org/x:1", "max_parallelism": 8, **component}
        course = Course(inputs(4, 2), components={"worker": worker}).at(0).runs(0, 1).at(1)
        course.pod(0, node_unready=True, disruption="DeletionByTaintManager", deleting=True)
        return course.pod(0, deletion_asked_at=NOW + seconds(10), deletion_due=NOW + seconds(40))

    def test_by_opt_in_a_pod_on_a_dead_node_is_deleted_by_force(self) -> None:
        course = self.unreachable(force_delete_after_seconds=60).at(99)
        assert course.plan.deletes == ()
        assert course.plan.requeue_after == seconds(1)
        course.at(100, passes=1)
        assert _forced(course) == [("0-0", 0)]

    @pytest.mark.parametrize("component", [{}, {"force_delete_after_seconds": -1}], ids=["default", "switched off"])
    def test_else_never_but_the_job_says_what_to_do(self, component: dict[str, int]) -> None:
        course = self.unreachable(**component).at(5000)
        assert course.plan.deletes == ()
        assert "pod tep-0190f3-worker-0-0 cannot end, since node node-1 is not Ready" in str(course.status.message)
        assert course.counts == (0, 0), "nobody knows yet whether it runs"

    def test_a_ready_node_ends_its_pods_itself(self) -> None:
        course = self.unreachable(force_delete_after_seconds=60).pod(0, node_unready=False).at(5000)
        assert course.plan.deletes == ()


def test_the_registry_may_come_in_time() -> None:
    course = Course(inputs(2, 1, pipeline_key="later", policy={"assign_timeout_seconds": 60})).at(0)
    course.snapshot = replace(course.snapshot, pipelines=(make_pipeline(key="later"),))
    course.at(30)
    assert course.state == "ADMITTED"


DAY = timedelta(days=1)
_CLOCKS = ("since", "next_admission", "updated_at", "completed_at", "failed_at")


def _written_by_a_clock_off_by(course: Course, by: timedelta) -> Course:
    def move(found: dict[str, Any]) -> None:
        for key, value in found.items():
            if isinstance(value, dict):
                move(value)
            elif isinstance(value, str) and (key.endswith(_CLOCKS) or key.isdigit()):
                found[key] = rfc3339(datetime.fromisoformat(value) + by)

    return course.rewritten(move)


def test_a_component_that_failed_once_still_has_a_start_timeout() -> None:
    course = Course(inputs(1, 1)).at(0).runs(0).at(3).fails(0).at(5).at(15)
    course.pod(0, 1, unschedulable="0/3 nodes are available").at(1000)
    assert course.ledger.start_timeouts == 1, course.status.message


def test_a_new_admission_beside_a_finished_index_has_a_start_timeout() -> None:
    course = Course(inputs(2, 2)).at(0).runs(0, 1).at(3).succeeds(0).at(4).fails(1).at(5).at(15)
    assert course.state == "ADMITTED", course.status.message
    course.at(1000)
    assert course.ledger.start_timeouts == 1, course.status.message


def test_a_refused_replacement_beside_a_finished_index_is_not_running() -> None:
    course = Course(inputs(2, 2)).at(0).runs(0, 1).at(3).succeeds(0).at(4).fails(1).at(5).at(15, passes=1)
    del course.pods["worker", 1, 1]
    course.snapshot = replace(course.snapshot, refusal=Refusal("Quota", "exceeded quota: gpus", NOW + seconds(15)))
    course.at(16)
    assert (course.state, course.ledger.running_since) == ("PENDING", None), course.status.message


def test_time_without_an_operator_is_no_waiting_for_admission() -> None:
    spec = inputs(1, 1, policy={"assign_timeout_seconds": 60})
    course = Course(spec).at(0).runs(0).at(3).preempted(0).at(5, passes=1).at(500)
    assert course.state == "ADMITTED", course.status.error


def test_a_back_off_beside_a_preemption_is_no_waiting_for_admission() -> None:
    course = Course(inputs(2, 2, policy={"assign_timeout_seconds": 5})).at(0).runs(0, 1).at(3)
    course.fails(0).preempted(1).at(5).at(15)
    assert course.state in ("ADMITTED", "RUNNING"), course.status.error


def test_a_preempted_index_does_not_wait_for_anothers_back_off() -> None:
    course = Course(inputs(2, 2, policy={"backoff_seconds": 600})).at(0).runs(0, 1).at(3)
    course.fails(0).preempted(1).at(5)
    assert len(course.living) == 1, course.status.message


def test_a_suspension_is_no_waiting_for_the_registry() -> None:
    spec = inputs(1, 1, pipeline_key="nothing", suspend=True, policy={"assign_timeout_seconds": 60})
    course = Course(spec).at(0).at(1000).spec_changes(suspend=False).at(1001)
    assert course.state == "PENDING", course.status.error


def test_a_quota_refusal_goes_on_waiting_over_a_restart() -> None:
    course = Course(inputs(1, 1, policy={"assign_timeout_seconds": 100})).at(0, passes=1)
    for moment in (1, 90):
        course.pods.clear()
        course.snapshot = replace(course.snapshot, refusal=Refusal("Quota", "exceeded quota", NOW + seconds(moment)))
        course.at(moment)
        course.snapshot = replace(course.snapshot, refusal=None)  # a restarted operator knows of none
        course.at(moment + 1, passes=1)
    course.pods.clear()
    course.snapshot = replace(course.snapshot, refusal=Refusal("Quota", "exceeded quota", NOW + seconds(100)))
    course.at(120)
    assert course.state == "FAILED", (course.states, course.ledger.waiting_since)


def test_a_job_cannot_have_run_before_it_started() -> None:
    course = Course(inputs(1, 1, policy={"run_timeout_seconds": 100})).at(0).runs(0).at(3)
    _written_by_a_clock_off_by(course, -DAY).at(4)
    assert course.ledger.stopping is None


def test_the_time_to_live_of_a_job_that_ended_tomorrow() -> None:
    course = Course(inputs(1, 1, policy={"ttl_seconds_after_finished": 60})).at(0).runs(0).at(3).succeeds(0).at(5)
    _written_by_a_clock_off_by(course, DAY).at(6).at(100)
    assert course.ledger.children_deleted_at is not None
