"""The JSON of a status is remembered, and never another one's."""

from datetime import timedelta

from batch_operator.reconcile.status_write import as_written, due
from tests.builders import NOW, admitted, make_batchjob, make_snapshot, reconcile, seconds, status_of
from tests.unit.batch_operator.reconcile.course import Course

INTERVAL = timedelta(seconds=5)


def test_what_is_written_is_the_json_of_the_status() -> None:
    course = Course()
    for second, happens in enumerate((None, course.runs, course.succeeds)):
        if happens is not None:
            happens(0, 1)
        course.at(10 * second)
        assert as_written(course.status) == course.status.model_dump(mode="json", exclude_none=True)
    written = status_of(reconcile(make_batchjob(), make_snapshot(), NOW))
    assert as_written(written) == written.model_dump(mode="json", exclude_none=True)
    assert as_written(written)["updated_at"] == "2026-04-14T10:00:00Z"


def test_thousands_of_statuses_are_not_taken_for_each_other() -> None:
    status = admitted()[0].status
    for number in range(1000):
        one = status.model_copy(update={"message": f"number {number}"})
        assert as_written(one)["message"] == f"number {number}"


def test_the_same_status_is_not_written_again() -> None:
    job, _ = admitted()
    same = job.status.model_copy(update={"observedGeneration": job.generation})
    job = job.model_copy(update={"status": same})
    assert due(job, same, NOW + seconds(60), INTERVAL) == (None, None)
    write, _ = due(job, same.model_copy(update={"message": "another"}), NOW + seconds(60), INTERVAL)
    assert write is not None
    assert as_written(write) == write.model_dump(mode="json", exclude_none=True)
