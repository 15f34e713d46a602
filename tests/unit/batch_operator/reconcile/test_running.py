"""An admitted job: its pods, their progress, its end."""

import json
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.api.v1alpha1.conditions import ConditionType, is_true
from batch_operator.snapshot import Refusal
from tests.builders import (
    NOW,
    admitted,
    make_batchjob,
    make_pipeline,
    make_pod,
    make_snapshot,
    make_spec,
    reconcile,
    record_of,
    run_to,
    seconds,
    status_of,
)
from tests.unit.batch_operator.reconcile.course import Course

NO_RETRIES = make_batchjob(make_spec(policy={"max_retries": 0}))


class TestRunning:
    def test_a_started_pod_makes_the_job_running(self) -> None:
        job, file = admitted()
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(make_pod(0), make_pod(1, "Pending"))), 3)
        status = status_of(plan)
        assert status.status is JobStatus.RUNNING
        assert status.started_at == NOW + seconds(2)
        assert not plan.pods

    def test_a_pod_that_ended_before_the_others_started_makes_the_job_running(self) -> None:
        course = Course().at(0).succeeds(0).at(1)
        assert course.state == "RUNNING"
        assert course.ledger.starting_since is None, "it has started: no start timeout"
        assert course.status.message == "running: 2 of 4 inputs done"

    def test_a_job_that_runs_in_part_says_what_the_rest_waits_for(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1, "Pending", unschedulable="0/3 nodes are available"))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 3)
        expected = "running: 0 of 4 inputs done; 1 of 2 pods wait for a node: 0/3 nodes are available"
        assert status_of(plan).message == expected

    def test_a_missing_pod_is_made_again_under_the_same_name(self) -> None:
        job, file = admitted()
        plan = reconcile(job, make_snapshot(job_file=file, pods=(make_pod(0),)), NOW)
        assert [p["metadata"]["name"] for p in plan.pods] == ["tep-0190f3-worker-1-0"]

    def test_progress_alone_is_written_at_most_every_interval(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1))
        job, _ = run_to(job, make_snapshot(job_file=file, pods=pods), 3)
        reports = {pods[0].uid: Report(completed=frozenset({0}), processing=frozenset({1}))}
        snapshot = make_snapshot(job_file=file, pods=pods, reports=reports)
        _, held_back = run_to(job, snapshot, 4)
        assert held_back.status is None
        assert held_back.requeue_after == seconds(4)
        _, written = run_to(job, snapshot, 8)
        progress = status_of(written).input_progress.model_dump()
        assert progress == {"pending": 2, "processing": 1, "completed": 1, "failed": 0}
        assert status_of(written).progress == "1/4"
        assert status_of(written).message == "running: 1 of 4 inputs done"

    def test_a_clock_that_was_set_back_does_not_hold_progress(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1))
        job, _ = run_to(job, make_snapshot(job_file=file, pods=pods), 3600)
        reports = {pods[0].uid: Report(completed=frozenset({0}))}
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods, reports=reports), 0)
        assert status_of(plan).progress == "1/4"

    def test_nothing_new_writes_nothing(self) -> None:
        job, file = admitted()
        snapshot = make_snapshot(job_file=file, pods=(make_pod(0), make_pod(1)))
        job, _ = run_to(job, snapshot, 3)
        _, plan = run_to(job, snapshot, 1000)
        assert plan.status is None
        assert plan.requeue_after is None

    def test_what_was_completed_stays_completed_when_reports_are_lost(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1))
        reports = {pods[0].uid: Report(completed=frozenset({0, 1}))}
        job, _ = run_to(job, make_snapshot(job_file=file, pods=pods, reports=reports), 3)
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 60)
        assert plan.status is None
        assert job.status.ledger is not None
        assert job.status.ledger.completed_inputs == "0-1"

    def test_a_report_counts_for_the_pods_own_block_only(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1))
        reports = {pods[0].uid: Report(completed=frozenset({0, 3}))}
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods, reports=reports), 3)
        assert status_of(plan).ledger.completed_inputs == "0"

    def test_a_pod_that_somebody_else_hung_on_the_job_counts_for_nothing(self) -> None:
        job, file = admitted()
        stranger = make_pod(7, "Failed")
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(make_pod(0), make_pod(1), stranger)), 3)
        assert status_of(plan).status is JobStatus.RUNNING


def ended(index: int, **report: Any) -> Any:
    return make_pod(index, "Succeeded", termination_message=json.dumps(report) if report else "")


class TestEnd:
    def test_all_inputs_completed(self) -> None:
        job, file = admitted()
        pods = (ended(0, completed="0-1", notice="encoder rocket_1"), ended(1, completed="2-3"))
        job, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 30)
        status = status_of(plan)
        assert status.status is JobStatus.COMPLETED
        assert status.input_progress.model_dump() == {"pending": 0, "processing": 0, "completed": 4, "failed": 0}
        assert status.completed_at == NOW + seconds(30)
        assert is_true(status.conditions, ConditionType.COMPLETE)
        assert is_true(status.conditions, ConditionType.FINISHED)
        assert plan.event is not None
        assert plan.event.message == "completed: 4 of 4 inputs; encoder rocket_1"
        _, later = run_to(job, make_snapshot(pods=()), 9999)
        assert (later.status, later.pods) == (None, ())

    def test_a_job_whose_pods_nobody_saw_run_has_started_all_the_same(self) -> None:
        job, file = admitted()
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(ended(0), ended(1))), 30)
        assert status_of(plan).started_at == NOW + seconds(2)

    def test_the_last_line_of_a_log_is_no_report(self) -> None:
        job, file = admitted()
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(ended(0, done=True), ended(1))), 30)
        assert status_of(plan).input_progress.completed == 4

    def test_a_worker_that_never_reports_completes_its_block_by_exit_0(self) -> None:
        job, file = admitted()
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(ended(0), ended(1))), 30)
        assert status_of(plan).input_progress.completed == 4

    def test_after_a_report_exit_0_fails_what_is_still_open(self) -> None:
        job, file = admitted(make_batchjob(make_spec(policy={"max_failed_inputs": 1})))
        pods = (ended(0, completed="0"), ended(1, completed="2-3"))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 30)
        status = status_of(plan)
        assert status.status is JobStatus.COMPLETED
        assert status.input_progress.failed == 1
        assert [(f.input, f.file_id, f.message[:12]) for f in status.failures] == [(1, "day_1.csv", "NOT_REPORTED")]

    @pytest.mark.parametrize(
        ("allowed", "expected"),
        [
            pytest.param(0, JobStatus.FAILED, id="none allowed"),
            pytest.param(1, JobStatus.COMPLETED, id="one allowed"),
            pytest.param(-1, JobStatus.COMPLETED, id="no limit"),
        ],
    )
    def test_policy_judges_failed_inputs(self, allowed: int, expected: JobStatus) -> None:
        job, file = admitted(make_batchjob(make_spec(policy={"max_failed_inputs": allowed})))
        pods = (ended(0, completed="0", failed="1", reasons={"1": "no such column"}), ended(1, completed="2-3"))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 30)
        status = status_of(plan)
        assert status.status is expected
        assert status.failures[0].message == "no such column"
        assert (status.error is not None) == (expected is JobStatus.FAILED)

    def test_the_pipelines_retry_policy_is_inherited(self) -> None:
        snapshot = make_snapshot(pipelines=(make_pipeline(retry_policy={"max_failed_inputs": -1}),))
        job, file = admitted(snapshot=snapshot)
        pods = (ended(0, failed="0-1"), ended(1, completed="2-3"))
        _, plan = run_to(job, replace(snapshot, job_file=file, pods=pods), 30)
        assert status_of(plan).status is JobStatus.COMPLETED

    def test_fail_fast_does_not_wait_for_the_others(self) -> None:
        job, file = admitted(make_batchjob(make_spec(policy={"fail_fast": True})))
        pods = (make_pod(0), make_pod(1))
        reports = {pods[0].uid: Report(failed=frozenset({0}))}
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods, reports=reports), 3)
        assert {d.name for d in plan.deletes} == {p.name for p in pods}

    def test_a_pod_that_comes_late_to_a_job_that_has_ended_is_deleted(self) -> None:
        job, file = admitted()
        job, _ = run_to(job, make_snapshot(job_file=file, pods=(ended(0), ended(1))), 30)
        late = make_pod(1, uid="another")
        _, plan = run_to(job, make_snapshot(pods=(ended(0), late)), 60)
        assert [(d.name, d.uid) for d in plan.deletes] == [(late.name, "another")]
        assert plan.status is None

    def test_what_a_pod_said_counts_after_somebody_deleted_it(self) -> None:
        job, file = admitted()
        gone = replace(ended(0, completed="0-1"), deleted=True)
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(gone, ended(1, completed="2-3"))), 30)
        assert status_of(plan).status is JobStatus.COMPLETED

    def test_a_job_of_no_inputs_and_no_pods_is_complete(self) -> None:
        ports = [{"name": "worker.inference", "distribute": "scatter", "tracked": True}]
        snapshot = make_snapshot(pipelines=(make_pipeline(input_ports=ports),))
        job, file = admitted(make_batchjob(make_spec(inputs=None)), snapshot)
        _, plan = run_to(job, replace(snapshot, job_file=file), 1)
        assert status_of(plan).status is JobStatus.COMPLETED


class TestFailure:
    def test_siblings_are_ended_before_the_failure_is_announced(self) -> None:
        job, file = admitted(NO_RETRIES)
        failed, sibling = make_pod(0, "Failed", exit_code=3), make_pod(1)
        job, plan = run_to(job, make_snapshot(job_file=file, pods=(failed, sibling)), 10)
        status = status_of(plan)
        assert status.status is JobStatus.ADMITTED, "no status yet: a terminal job owns no live pod"
        assert status.ledger.stopping.error.code == "RETRIES_EXHAUSTED"
        assert sibling.name in status.message
        assert [(d.name, d.uid, d.grace_seconds) for d in plan.deletes] == [(sibling.name, sibling.uid, 30)]

        ending = replace(sibling, deleting=True)
        job, waiting = run_to(job, make_snapshot(job_file=file, pods=(failed, ending)), 11)
        assert waiting.deletes == (), "asked once"

        gone = replace(ending, deleted=True)
        job, plan = run_to(job, make_snapshot(job_file=file, pods=(failed, gone)), 12)
        status = status_of(plan)
        assert status.status is JobStatus.FAILED
        assert status.error.exit_code == 3
        assert status.ledger.stopping is None
        assert plan.event is not None

    def test_a_stop_goes_on_after_a_restart(self) -> None:
        job, file = admitted(NO_RETRIES)
        failed, sibling = make_pod(0, "Failed"), make_pod(1)
        job, _ = run_to(job, make_snapshot(job_file=file, pods=(failed, sibling)), 10)
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(sibling,)), 20)
        assert [d.name for d in plan.deletes] == [sibling.name]

    @pytest.mark.parametrize(
        ("message", "code", "words"),
        [
            pytest.param(
                json.dumps({"error": {"code": "INVALID_REQUEST", "message": "n_neighbors: 50 is above 12"}}),
                "INVALID_REQUEST",
                "n_neighbors: 50 is above 12",
                id="in its own words",
            ),
            pytest.param("Traceback", "INVALID_REQUEST", "configuration (exit code 64): Traceback", id="no report"),
            pytest.param('{"completed": ""}', "INVALID_REQUEST", "it gave no reason", id="a report without an error"),
        ],
    )
    def test_exit_64_fails_the_job_with_the_workers_words(self, message: str, code: str, words: str) -> None:
        job, file = admitted()
        pods = (make_pod(0, "Failed", exit_code=64, termination_message=message), make_pod(1, "Succeeded"))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 10)
        assert status_of(plan).error.code == code
        assert words in status_of(plan).error.message

    def test_a_command_that_is_not_there_is_named_when_the_retries_are_over(self) -> None:
        job, file = admitted(NO_RETRIES)
        error = make_pod(
            0, "Failed", exit_code=128, container_reason="StartError", termination_message="exec: no such file"
        )
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(error, ended(1))), 10)
        assert status_of(plan).error.code == "RETRIES_EXHAUSTED"
        assert "exec: no such file" in status_of(plan).error.message

    def test_exit_65_is_judged_by_the_inputs(self) -> None:
        job, file = admitted(make_batchjob(make_spec(policy={"max_failed_inputs": 2})))
        bad = make_pod(0, "Failed", exit_code=65, termination_message=json.dumps({"failed": "0-1"}))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(bad, ended(1))), 10)
        assert status_of(plan).status is JobStatus.COMPLETED
        assert status_of(plan).input_progress.failed == 2

    @pytest.mark.parametrize(
        ("waiting", "at", "fails"),
        [
            pytest.param("InvalidImageName", 5, True, id="invalid image name: at once"),
            pytest.param("CreateContainerConfigError", 5, False, id="a missing secret may come"),
            pytest.param("CreateContainerConfigError", 300, True, id="a missing secret after five minutes"),
            pytest.param("ImagePullBackOff", 299, False, id="pull back-off has five minutes"),
            pytest.param("ImagePullBackOff", 300, True, id="pull back-off after five minutes"),
            pytest.param("ContainerCreating", 599, False, id="creating is no failure"),
        ],
    )
    def test_a_pod_that_cannot_start(self, waiting: str, at: float, fails: bool) -> None:
        job, file = admitted()
        pods = tuple(make_pod(n, "Pending", waiting_reason=waiting, waiting_message="no such image") for n in range(2))
        job, _ = run_to(job, make_snapshot(job_file=file, pods=pods))
        job, plan = run_to(job, make_snapshot(job_file=file, pods=pods), at)
        assert bool(plan.deletes) == fails
        if fails:
            assert job.status.ledger is not None
            assert job.status.ledger.stopping is not None
            error = job.status.ledger.stopping.error
            assert error is not None
            assert error.code == "START_FAILED"
            assert "no such image" in error.message
        elif waiting == "ImagePullBackOff":
            assert plan.requeue_after == seconds(300 - at), "counted from the first failure, which status tells"

    def test_the_first_reason_to_stop_stays(self) -> None:
        job, file = admitted(NO_RETRIES)
        failed, sibling = make_pod(0, "Failed", exit_code=3), make_pod(1)
        job, _ = run_to(job, make_snapshot(job_file=file, pods=(failed, sibling)), 10)
        without_file = make_snapshot(job_file=None, pipelines=(), pods=(failed, replace(sibling, deleting=True)))
        job, plan = run_to(job, without_file, 11)
        job, again = run_to(job, without_file, 12)
        assert again.status is None, "while it waits it writes nothing"
        job, plan = run_to(job, make_snapshot(job_file=None, pipelines=(), pods=(failed,)), 13)
        assert status_of(plan).error.code == "RETRIES_EXHAUSTED"

    def test_a_job_that_failed_processes_nothing(self) -> None:
        job, file = admitted()
        pods = (make_pod(0), make_pod(1))
        reports = {pods[0].uid: Report(processing=frozenset({0, 1}))}
        job, _ = run_to(job, make_snapshot(job_file=file, pods=pods, reports=reports), 10)
        gone = tuple(replace(pod, deleted=True) for pod in pods)
        _, plan = run_to(job, make_snapshot(job_file=None, pipelines=(), pods=gone), 20)
        counts = status_of(plan).input_progress
        assert (counts.pending, counts.processing) == (4, 0)

    def test_long_words_are_cut(self) -> None:
        job, file = admitted()
        words = json.dumps({"error": {"code": "INVALID_REQUEST", "message": "x" * 5000}})
        pods = (make_pod(0, "Failed", exit_code=64, termination_message=words), ended(1))
        _, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 10)
        assert len(status_of(plan).error.message) == 1000


class TestRefusedPods:
    def test_a_quota_makes_the_job_wait_with_back_off(self) -> None:
        job, file = admitted()
        refusal = Refusal("Quota", "exceeded quota: gpus", NOW + seconds(10))
        job, plan = run_to(job, make_snapshot(job_file=file, refusal=refusal), 10)
        status = status_of(plan)
        assert status.status is JobStatus.PENDING
        assert "exceeded quota: gpus" in status.message
        assert plan.pods == ()
        assert plan.requeue_after == seconds(5)
        assert plan.event is not None
        assert (plan.event.reason, plan.event.message) == ("NamespaceQuota", "pods are refused: exceeded quota: gpus")
        assert not is_true(status.conditions, ConditionType.STALLED)
        job, plan = run_to(job, make_snapshot(job_file=file, refusal=refusal), 15)
        assert len(plan.pods) == 2
        assert (plan.status, plan.event) == (None, None), "still PENDING until a pod is there"
        pods = tuple(record_of(p) for p in plan.pods)
        job, plan = run_to(job, make_snapshot(job_file=file, pods=pods), 16)
        assert status_of(plan).status is JobStatus.ADMITTED

    def test_the_configmap_waits_with_the_pods(self) -> None:
        job, _ = admitted()
        snapshot = make_snapshot(job_file=None, refusal=Refusal("Quota", "exceeded quota: maps", NOW + seconds(10)))
        _, plan = run_to(job, snapshot, 12)
        assert (plan.configmap, plan.pods, plan.requeue_after) == (None, (), seconds(3))
        _, plan = run_to(job, snapshot, 15)
        assert plan.configmap is not None

    def test_a_refusal_shows_beside_pods_that_run(self) -> None:
        job, file = admitted()
        refusal = Refusal("Quota", "exceeded quota: gpus", NOW)
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(make_pod(0),), refusal=refusal), 1)
        assert status_of(plan).status is JobStatus.RUNNING
        assert "1 more refused: exceeded quota: gpus" in status_of(plan).message

    def test_a_job_that_ends_after_a_refusal_is_not_stalled(self) -> None:
        job, file = admitted()
        refusal = Refusal("Forbidden", "violates PodSecurity", NOW)
        job, _ = run_to(job, make_snapshot(job_file=file, refusal=refusal), 0)
        _, plan = run_to(job, make_snapshot(job_file=file, pods=(ended(0), ended(1))), 90)
        assert is_true(status_of(plan).conditions, ConditionType.ADMITTED)
        assert not is_true(status_of(plan).conditions, ConditionType.STALLED)

    def test_pod_security_needs_a_person(self) -> None:
        job, file = admitted()
        refusal = Refusal("Forbidden", "violates PodSecurity", NOW)
        _, plan = run_to(job, make_snapshot(job_file=file, refusal=refusal), 0)
        assert is_true(status_of(plan).conditions, ConditionType.STALLED)


def test_a_changed_policy_counts_from_the_next_decision() -> None:
    job, file = admitted()
    changed = make_batchjob(
        make_spec(policy={"max_failed_inputs": -1}),
        job.status.model_dump(mode="json", exclude_none=True),
        generation=2,
    )
    pods = (ended(0, failed="0-1"), ended(1, completed="2-3"))
    _, plan = run_to(changed, make_snapshot(job_file=file, pods=pods), 30)
    assert status_of(plan).status is JobStatus.COMPLETED
    assert status_of(plan).observedGeneration == 2
