"""The product of states and observations: every pass keeps to the table and to what always holds."""

import itertools
import json
import os
from collections.abc import Callable, Iterator

import pytest

from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.reconcile.transitions import EDGES, IllegalTransition, check
from tests.builders import NOW, seconds
from tests.unit.batch_operator.reconcile.course import TRAINING, Course, inputs

START = {
    "new": lambda c: c,
    "suspended": lambda c: c.spec_changes(suspend=True).at(0),
    "admitted": lambda c: c.at(0),
    "running": lambda c: c.at(0).runs(0, 1).at(1),
    "stopping": lambda c: c.at(0).runs(0, 1).at(1).spec_changes(suspend=True).at(2),
    "preempted": lambda c: c.at(0).runs(0, 1).at(1).preempted(0).preempted(1).at(2, passes=1),
    "back-off": lambda c: c.at(0).runs(0, 1).at(1).fails(0).fails(1).at(2),
    "completed": lambda c: c.at(0).succeeds(0, 1).at(2),
    "failed": lambda c: c.at(0).fails(0, exit_code=64).gone(1).at(2),
    "cancelled": lambda c: c.at(0).annotated(cancel_requested="0").at(1).gone(0).gone(1).at(2),
}
OBSERVED: dict[str, Callable[[Course, int, int], Course]] = {
    "nothing": lambda c, index, attempt: c,
    "runs": lambda c, index, attempt: c.runs(index, attempt=attempt),
    "succeeds": lambda c, index, attempt: c.succeeds(index, attempt=attempt),
    "fails": lambda c, index, attempt: c.fails(index, attempt),
    "bad config": lambda c, index, attempt: c.fails(index, attempt, exit_code=64),
    "preempted": lambda c, index, attempt: c.preempted(index, attempt),
    "rejected": lambda c, index, attempt: c.pod(index, attempt, phase="Failed", reason="OutOfcpu"),
    "no image": lambda c, index, attempt: c.pod(index, attempt, waiting_reason="InvalidImageName"),
    "gone": lambda c, index, attempt: c.gone(index, attempt),
    "node gone": lambda c, index, attempt: c.pod(index, attempt, node_gone=True),
}
ASKED: dict[str, Callable[[Course], Course]] = {
    "nothing": lambda c: c,
    "cancel": lambda c: c.annotated(cancel_requested="now"),
    "retry": lambda c: c.annotated(retry_requested="now"),
    "suspend": lambda c: c.spec_changes(suspend=True),
    "resume": lambda c: c.spec_changes(suspend=False),
}
TERMINAL = {status.value for status in JobStatus if status.is_terminal}


def combinations() -> Iterator[tuple[str, str, str]]:
    """(what one pod shows, what the other shows, what is asked). With BATCH_FAULTS=all the whole product, else each
    pair, and each observation with each request."""
    if os.environ.get("BATCH_FAULTS") == "all":
        yield from itertools.product(OBSERVED, OBSERVED, ASKED)
        return
    yield from ((*pair, "nothing") for pair in itertools.combinations_with_replacement(OBSERVED, 2))
    yield from ((one, "nothing", asked) for one in OBSERVED for asked in ASKED if asked != "nothing")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scope", ["Index", "Job"])
@pytest.mark.parametrize("start", list(START))
def test_every_observation_in_every_state(start: str, scope: str) -> None:
    """Each of a job's two pods gets each observation, with each request beside it, and time passes after that."""
    for one, other, asked in combinations():
        course = START[start](Course(inputs(4, 2), **(TRAINING if scope == "Job" else {})))
        living = course.living
        for (index, attempt), what in zip(living, (one, other), strict=False):
            OBSERVED[what](course, index, attempt)
        ASKED[asked](course)
        before = len(course.states)
        for second in (3, 20, 700):
            course.at(second)
            _holds(course, f"{start}/{scope}: {one}, {other}, {asked} at {second} s")
        for step in zip(course.states[max(before - 1, 0) :], course.states[max(before, 1) :], strict=False):
            assert JobStatus(step[1]) in EDGES[JobStatus(step[0])], f"{start}: {one}, {other}, {asked}: {step}"


def _holds(course: Course, where: str) -> None:
    counts, status = course.status.input_progress, course.status
    if counts is not None:
        total = counts.pending + counts.processing + counts.completed + counts.failed
        assert total == 4, f"{where}: {counts}"
        assert min(counts.model_dump().values()) >= 0, f"{where}: {counts}"
    assert status.created_at is not None, where
    for end in (status.completed_at, status.failed_at, status.cancelled_at):
        assert end is None or end >= (status.started_at or status.created_at), where
    indexes = [index for index, _ in course.living]
    assert len(indexes) == len(set(indexes)), f"{where}: two living pods of one index: {course.living}"
    if course.state in TERMINAL:
        assert all(p.deleting for p in course.pods.values() if p.is_live), f"{where}: a terminal job owns a living pod"
        assert status.ledger is None or status.ledger.stopping is None, where


@pytest.mark.timeout(300)
@pytest.mark.parametrize("start", list(START))
def test_left_alone_every_job_ends(start: str) -> None:
    """Whatever has happened to it: its pods succeed from now on, its deleted ones go, and it is not suspended."""
    for one, other, asked in combinations():
        course = START[start](Course(inputs(4, 2)))
        for (index, attempt), what in zip(course.living, (one, other), strict=False):
            OBSERVED[what](course, index, attempt)
        ASKED[asked](course).at(3)
        course.spec_changes(suspend=False).at(4)
        for second in range(10, 3000, 60):
            course.at(second)
            for place, pod in list(course.pods.items()):
                if pod.is_live and pod.deleting:
                    course.gone(place[1], place[2])
                elif pod.is_live:
                    done = json.dumps({"completed": pod.inputs})
                    course.succeeds(place[1], attempt=place[2], termination_message=done)
            if course.at(second + 1).state in TERMINAL:
                break
        assert course.state in TERMINAL, f"{start}: {one}, {other}, {asked}: {course.state} {course.status.message}"
        if course.state == "COMPLETED":
            assert course.status.progress == "4/4"


def test_what_the_table_lacks_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="COMPLETED -> RUNNING"):
        check(JobStatus.COMPLETED, JobStatus.RUNNING)


def test_nothing_leaves_completed() -> None:
    assert EDGES[JobStatus.COMPLETED] == {}
    course = Course(inputs(4, 2)).at(0).succeeds(0, 1).at(2).annotated(retry_requested="1", cancel_requested="1").at(3)
    assert (course.state, course.status.completed_at) == ("COMPLETED", NOW + seconds(2))
