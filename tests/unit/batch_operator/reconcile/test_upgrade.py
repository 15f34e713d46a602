"""A job whose status an older version of the operator wrote: it goes on, and it ends."""

from typing import Any

from tests.unit.batch_operator.reconcile.course import Course, inputs


def written_by_0_1(course: Course) -> Course:
    """As of the version before rounds and attempts."""

    def old(raw: dict[str, Any]) -> None:
        ledger = raw["ledger"]
        components = ledger.get("components") or {}
        kept = {key: ledger[key] for key in ("spec_hash", "completed_inputs", "failed_inputs") if key in ledger}
        known = ("parallelism", "succeeded_indexes")
        kept["components"] = {name: {k: c[k] for k in known if k in c} for name, c in components.items()}
        raw["ledger"] = kept

    return course.rewritten(old)


def test_a_job_that_the_old_operator_was_stopping_ends() -> None:
    error = {"code": "WORKER_FAILED", "message": "m", "error_uid": "err_1"}

    def stopping(raw: dict[str, Any]) -> None:
        raw["ledger"]["stopping"] = {"reason": "WorkerFailed", "since": "2026-04-14T10:00:03Z", "error": error}

    course = Course(inputs(1, 1)).at(0).runs(0).at(3).rewritten(stopping).at(5).gone(0).at(6)
    assert course.state == "FAILED"


def test_a_retry_of_an_old_failed_job_opens_its_failed_inputs() -> None:
    course = Course(inputs(2, 1)).at(0).runs(0).at(3)
    course.succeeds(0, termination_message='{"completed": "0", "failed": "1"}').at(5)
    written_by_0_1(course).annotated(retry_requested="r1").at(6, passes=3)
    assert course.state == "ADMITTED", course.status.error


def test_an_old_admitted_job_has_a_start_timeout() -> None:
    course = written_by_0_1(Course(inputs(1, 1)).at(0)).at(5).at(700)
    assert course.ledger.start_timeouts == 1, course.status.message


def test_an_old_running_job_goes_on() -> None:
    course = written_by_0_1(Course(inputs(2, 2)).at(0).runs(0, 1).at(3)).at(5)
    assert (course.state, course.living) == ("RUNNING", [(0, 0), (1, 0)])
    course.succeeds(0, 1).at(10)
    assert course.state == "COMPLETED"
