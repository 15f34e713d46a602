"""Jobs that Kueue admits: what becomes of their state, their clocks and their own queue. tests/unit/kueue plays whole
lives of them."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.reconcile import queue_entry
from batch_operator.scheduling.observed import Holder
from tests.builders import make_pod, make_spec
from tests.unit.batch_operator.reconcile.course import Course, inputs

QUEUE, GROUP = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/pod-group-name"
GATE = "kueue.x-k8s.io/admission"


def handed_over(spec: dict[str, Any] | None = None, **pipeline: Any) -> Course:
    return Course(spec, **pipeline).annotated(kueue_queue="gpu")


def gated(course: Course, *indexes: int, attempt: int = 0) -> Course:
    """Kueue's webhook was there before the pods were stored."""
    for index in indexes:
        course.pod(index, attempt, gate=GATE)
    return course


def admitted_by_kueue(course: Course, *indexes: int, attempt: int = 0) -> Course:
    for index in indexes:
        course.pod(index, attempt, gate="")
    return course


def reason(course: Course) -> str:
    return next(c.reason for c in course.status.conditions or () if c.type == "Admitted")


def test_its_pods_are_made_at_once_in_one_group_and_hold_no_quota_of_ours() -> None:
    course = handed_over().at(0, passes=1)
    labels = [manifest["metadata"]["labels"] for manifest in course.plan.pods]
    group = f"tep-{course.job.uid[:6]}-group-0"
    assert [(label[QUEUE], label[GROUP]) for label in labels] == [("gpu", group), ("gpu", group)]
    assert not any(names.QUEUE_LABEL in label for label in labels)
    assert (course.state, reason(course)) == ("PENDING", "HandedOver")
    gated(course, 0, 1).at(1)
    assert queue_entry.entry(course.job, course.pods.values()) is None
    assert course.ledger.admission is None
    assert course.plan.requeue_after is None, "nobody looks before something happens"


def test_a_single_pod_needs_no_group() -> None:
    course = handed_over(inputs(3, 1)).at(0, passes=1)
    [manifest] = course.plan.pods
    assert manifest["metadata"]["labels"][QUEUE] == "gpu"
    assert GROUP not in manifest["metadata"]["labels"]
    assert list(manifest["metadata"]["annotations"]) == [names.INPUTS_ANNOTATION]


def test_the_namespace_s_label_hands_over_all_its_jobs() -> None:
    course = Course()
    course.snapshot = replace(course.snapshot, namespace_labels={"kueue.x-k8s.io/managed-namespace": "true"})
    course.at(0, passes=1)
    assert {manifest["metadata"]["labels"][QUEUE] for manifest in course.plan.pods} == {"default"}


def test_the_start_timeout_begins_when_kueue_has_admitted_it() -> None:
    course = gated(handed_over(make_spec(policy={"start_timeout_seconds": 60})).at(0, passes=1), 0, 1).at(500)
    assert course.state == "PENDING"
    assert course.ledger.starting_since is None
    admitted_by_kueue(course, 0).at(510)
    assert course.state == "PENDING", "its sibling is still gated"
    admitted_by_kueue(course, 1).at(520)
    assert course.state == "ADMITTED"
    course.at(579)
    assert course.state == "ADMITTED"
    course.at(580)
    assert "did not start within 60 s" in course.events[-1]


def test_the_assign_timeout_counts_while_it_waits() -> None:
    course = gated(handed_over(make_spec(policy={"assign_timeout_seconds": 100})).at(0, passes=1), 0, 1).at(99)
    assert course.state == "PENDING"
    course.at(100).gone(0).gone(1).at(101)
    assert (course.state, course.error_code) == ("FAILED", "ASSIGN_TIMEOUT")


def test_the_run_timeout_stands_still_while_its_last_pod_waits() -> None:
    course = gated(handed_over(inputs(3, 1, policy={"run_timeout_seconds": 100})).at(0, passes=1), 0).at(1)
    admitted_by_kueue(course, 0).runs(0).at(2).at(40).fails(0).at(50).at(80)
    gated(course, 0, attempt=1).at(81)
    assert course.state == "PENDING"
    ran = course.ledger.run_seconds
    course.at(5000)
    assert (course.state, course.ledger.run_seconds) == ("PENDING", ran)


def test_nor_does_it_run_while_only_a_replacement_is_left_behind_the_gate() -> None:
    course = gated(handed_over().at(0, passes=1), 0, 1).at(1)
    admitted_by_kueue(course, 0, 1).runs(0, 1).at(2).fails(0).at(3).at(60)
    gated(course, 0, attempt=1).succeeds(1, termination_message='{"completed": "2-3"}').at(70)
    assert course.state == "PENDING"
    assert (course.ledger.running_since, course.ledger.run_seconds) == (None, 68)


def test_while_a_sibling_runs_a_gated_replacement_is_a_remark() -> None:
    course = gated(handed_over().at(0, passes=1), 0, 1).at(1)
    admitted_by_kueue(course, 0, 1).runs(0, 1).at(2).fails(0).at(3).at(60)
    gated(course, 0, attempt=1).at(70)
    assert course.state == "RUNNING"
    assert f"1 of 2 pods are held back by the scheduling gate {GATE}" in (course.status.message or "")


def test_pods_that_kueue_evicts_one_after_the_other_come_back_together() -> None:
    course = gated(handed_over().at(0, passes=1), 0, 1).at(1)
    admitted_by_kueue(course, 0, 1).runs(0, 1).at(2)
    for index in (0, 1):
        course.pod(index, disruption="TerminationTarget", deleting=True)
    course.at(3).preempted(0, disruption="TerminationTarget", deleting=True).at(4)
    assert course.state == "RUNNING"
    assert len(course.pods) == 2, "nothing is made while its sibling is being taken away"
    course.preempted(1, disruption="TerminationTarget", deleting=True).at(5, passes=2)
    assert course.states[-2:] == ["PREEMPTED", "PENDING"]
    second = [manifest["metadata"]["labels"] for manifest in course.plan.pods]
    assert {label.get(GROUP) for label in second} == {f"tep-{course.job.uid[:6]}-group-1"}
    assert course.counts == (0, 2)


def test_a_round_after_a_preemption_is_a_new_group_of_what_is_left() -> None:
    course = gated(handed_over(inputs(4, 4)).at(0, passes=1), 0, 1, 2, 3).at(1)
    admitted_by_kueue(course, 0, 1, 2, 3).runs(0, 1, 2, 3).at(2)
    first = course.ledger.handed_over
    course.succeeds(0, termination_message='{"completed": "0"}').at(3)
    for index in (1, 2, 3):
        course.preempted(index, disruption="TerminationTarget")
    course.at(4)
    second = course.ledger.handed_over
    assert first is not None
    assert second is not None
    assert (first.pods, second.pods) == (4, 3)
    assert first.group != second.group
    assert course.states[-3:] == ["RUNNING", "PREEMPTED", "PENDING"]


def test_without_the_label_the_next_round_is_its_own_queue_s() -> None:
    course = gated(handed_over().at(0, passes=1), 0, 1).at(1)
    course.annotated(kueue_queue="")
    for index in (0, 1):
        course.pod(index, gate="").preempted(index, disruption="TerminationTarget")
    course.at(2, passes=3)
    assert course.state == "ADMITTED"
    assert course.ledger.handed_over is None
    assert isinstance(queue_entry.entry(course.job, course.pods.values()), Holder)


def test_a_gate_of_somebody_else_is_respected_too_and_the_job_keeps_its_quota() -> None:
    course = Course().at(0, passes=1)
    for index in (0, 1):
        course.pod(index, gate="example.com/licence")
    course.at(1)
    assert course.state == "PENDING"
    assert "held back by the scheduling gate example.com/licence" in (course.status.message or "")
    assert isinstance(queue_entry.entry(course.job, course.pods.values()), Holder)
    for index in (0, 1):
        course.pod(index, gate="")
    assert course.at(2).state == "ADMITTED"


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_is_not_gated_whatever_its_spec_says(phase: str) -> None:
    assert not make_pod(phase=phase, gate=GATE).is_gated
