"""Which jobs come first to a process that has just started."""

import pytest

from batch_operator.reconcile import left_undone
from batch_operator.reconcile.status_write import as_written
from tests.builders import make_batchjob, make_pod
from tests.unit.batch_operator.reconcile.course import Course


def running() -> Course:
    return Course().at(0).runs(0, 1).at(3)


def is_likely(course: Course) -> bool:
    return left_undone.is_likely(course.job, course.pods.values())


def test_a_new_job_comes_first() -> None:
    assert left_undone.is_likely(make_batchjob(), ())


def test_a_job_whose_pods_run_can_wait() -> None:
    assert not is_likely(running())
    assert not is_likely(running().succeeds(0).at(9)), "the end of one is noted already"


@pytest.mark.parametrize(
    "course",
    [
        pytest.param(running().fails(0), id="failed"),
        pytest.param(running().succeeds(0), id="ended"),
        pytest.param(running().pod(0, deleted=True), id="deleted"),
        pytest.param(running().annotated(cancel_requested="yes").at(4), id="stopping"),
    ],
)
def test_one_with_work_left_comes_first(course: Course) -> None:
    assert is_likely(course)


def test_one_whose_pod_is_missing_comes_first() -> None:
    course = running()
    assert left_undone.is_likely(course.job, [make_pod(0)])


def test_one_that_has_ended_can_wait() -> None:
    course = running().succeeds(0, 1).at(9)
    assert course.state == "COMPLETED"
    assert not left_undone.is_likely(course.job, ())


def test_one_that_waits_is_called_by_its_queue() -> None:
    assert not left_undone.is_likely(make_batchjob(status={"status": "PENDING"}), ())


def test_a_ledger_that_nobody_can_read_is_for_its_pass() -> None:
    status = as_written(running().job.status)
    status["ledger"]["components"]["worker"]["observed_indexes"] = "x"
    assert not left_undone.is_likely(make_batchjob(status=status), ())
