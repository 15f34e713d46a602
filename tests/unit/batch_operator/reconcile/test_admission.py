"""A job takes its turn, or says what it waits for."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.conditions import ConditionType
from batch_operator.reconcile import batchjob
from batch_operator.reconcile.plan import Plan
from batch_operator.snapshot import Displaced, Refusal, Turn
from tests.builders import NOW, make_batchjob, make_snapshot, seconds, status_of
from tests.unit.batch_operator.reconcile.course import Course, inputs

WAITS = Turn(reason="WaitingForQuota", words="2 GPUs missing", position=3, depth=20)
MOVED = replace(WAITS, position=1, depth=10)


def conditions(course: Course) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in course.status.conditions or ()}


def place(course: Course) -> tuple[int | None, int | None]:
    return course.status.queue_position, course.status.queue_depth


def queued(turn: Turn = WAITS, spec: dict[str, Any] | None = None) -> Course:
    """A job whose first answer was that it waits."""
    course = Course(spec or inputs(4, 2))
    return turned(course, turn).at(0)


def turned(course: Course, turn: Turn | None, **changes: Any) -> Course:
    course.snapshot = replace(course.snapshot, turn=turn, **changes)
    return course


class TestFirstSight:
    def asked(self) -> Plan:
        return batchjob.reconcile(make_batchjob(), make_snapshot(), NOW)

    def test_it_asks_and_writes_nothing(self) -> None:
        plan = self.asked()
        assert plan.ask is not None
        assert plan.ask.request["pods"] == 2000
        assert (plan.status, plan.configmap, plan.pods, plan.event) == (None, None, (), None)

    def test_its_turn_is_one_write(self) -> None:
        ask = self.asked().ask
        assert ask is not None
        plan = batchjob.reconcile(make_batchjob(), make_snapshot(turn=Turn(is_granted=True, shape=ask.shape)), NOW)
        assert status_of(plan).status == "ADMITTED"
        assert (len(plan.pods), plan.configmap is not None, plan.ask) == (2, True, None)
        admission = status_of(plan).ledger.admission
        assert (admission.queue, admission.admitted_at) == ("default", NOW)

    def test_a_turn_for_something_else_is_none(self) -> None:
        plan = batchjob.reconcile(make_batchjob(), make_snapshot(turn=Turn(is_granted=True, shape="another")), NOW)
        assert plan.ask is not None
        assert plan.status is None

    def test_not_its_turn(self) -> None:
        course = queued()
        assert course.states == ["PENDING"]
        assert conditions(course)["Admitted"] == ("False", "WaitingForQuota", "2 GPUs missing")
        assert place(course) == (3, 20)
        assert course.file is not None, "pinned, its ConfigMap is made"
        assert course.pods == {}
        assert course.status.message == "waits for its admission: 2 GPUs missing; 0 of 4 inputs done"

    def test_suspended_it_asks_nobody(self) -> None:
        course = turned(Course(inputs(4, 2, suspend=True)), None).at(0)
        assert (course.state, course.plan.ask) == ("PENDING", None)
        assert place(course) == (None, None)


class TestWaiting:
    def test_a_new_place_is_written_when_it_may_be(self) -> None:
        course = turned(queued(), MOVED).at(10)
        assert place(course) == (3, 20)
        assert course.plan.status is None
        turned(course, replace(MOVED, tell=True)).at(20)
        assert place(course) == (1, 10)

    def test_its_turn_comes(self) -> None:
        course = turned(queued(), None).at(10)
        assert (course.state, course.living) == ("ADMITTED", [(0, 0), (1, 0)])
        assert place(course) == (None, None)
        assert conditions(course)["Admitted"][0] == "True"

    def test_a_turn_for_something_else_is_not_taken(self) -> None:
        course = turned(queued(), Turn(is_granted=True, shape="another")).at(10)
        assert (course.state, course.living) == ("PENDING", [])

    @pytest.mark.parametrize("reason", ["ExceedsMaxQuota", "QueueNotFound"])
    def test_what_only_a_change_of_spec_helps_is_stalled(self, reason: str) -> None:
        course = queued(Turn(reason=reason, words="too much", is_stalled=True))
        assert conditions(course)["Stalled"] == ("True", reason, "too much")
        assert place(course) == (None, None)
        turned(course, replace(WAITS, tell=True)).at(10)
        assert conditions(course)["Stalled"] == ("False", "Resolved", "")
        assert place(course) == (3, 20)

    def test_a_job_that_was_never_stalled_does_not_say_so(self) -> None:
        assert "Stalled" not in conditions(queued())

    def test_too_long(self) -> None:
        course = queued(spec=inputs(4, 2, policy={"assign_timeout_seconds": 60}))
        assert course.plan.requeue_after == seconds(60)
        course.at(59)
        assert course.state == "PENDING"
        course.at(60)
        assert (course.state, course.error_code) == ("FAILED", "ASSIGN_TIMEOUT")
        assert "2 GPUs missing" in str(course.status.message)

    def test_a_turn_at_the_last_moment_counts(self) -> None:
        course = queued(spec=inputs(4, 2, policy={"assign_timeout_seconds": 60}))
        assert turned(course, None).at(60).state == "ADMITTED"


class TestPlace:
    """Only a job in line has one."""

    @pytest.mark.parametrize(
        ("requests", "state"),
        [({"cancel_requested": "1"}, "CANCELLED"), ({}, "PENDING")],
        ids=["cancelled", "suspended"],
    )
    def test_none_for_one_that_leaves_the_line(self, requests: dict[str, str], state: str) -> None:
        course = queued()
        course = course.annotated(**requests) if requests else course.spec_changes(suspend=True)
        course.at(10)
        assert (course.state, place(course)) == (state, (None, None))

    def test_none_for_one_that_runs_completes_and_fails(self) -> None:
        course = turned(queued(spec=inputs(4, 2, policy={"max_retries": 0})), None).at(1).runs(0, 1).at(5)
        assert (course.state, place(course)) == ("RUNNING", (None, None))
        course.fails(0).gone(1).at(10)
        assert (course.state, place(course)) == ("FAILED", (None, None))


class TestDisplaced:
    WHY = Displaced("gives way to team-b/high, of higher priority", "high")

    def displaced(self, **policy: int) -> Course:
        course = Course(inputs(4, 2, policy=policy or None)).at(0).runs(0, 1).at(5)
        return turned(course, None, displaced=self.WHY)

    def after(self, course: Course) -> Course:
        course.at(10)
        assert [pod.deleting for pod in course.pods.values()] == [True, True]
        turned(course, WAITS, displaced=None)
        return course.gone(0).gone(1).at(11, passes=1)

    def test_the_intent_is_written_with_its_count(self) -> None:
        course = self.displaced().at(10, passes=1)
        stopping = course.ledger.stopping
        assert stopping is not None
        assert (stopping.reason, stopping.preemptor, stopping.message) == ("Preempted", "high", self.WHY.words)
        assert course.counts == (0, 1)
        assert course.events == [f"Preempted: {self.WHY.words}"]

    def test_what_was_decided_of_an_earlier_admission_is_over(self) -> None:
        """By an operator that was stopped meanwhile, while another one carried it out."""
        course = self.displaced()
        turned(course, None, displaced=replace(self.WHY, admitted_at=NOW - seconds(60))).at(10)
        assert (course.state, course.counts) == ("RUNNING", (0, 0))
        assert course.ledger.admission is not None
        turned(course, None, displaced=replace(self.WHY, admitted_at=course.ledger.admission.admitted_at)).at(11)
        assert course.counts == (0, 1)

    def test_it_counts_once_however_often_it_is_looked_at(self) -> None:
        course = self.displaced().at(10).at(11).at(12)
        assert course.counts == (0, 1)
        assert len(course.events) == 1

    def test_it_is_preempted_and_asks_again_by_itself(self) -> None:
        course = self.after(self.displaced())
        assert (course.state, course.living) == ("PREEMPTED", [])
        found = conditions(course)
        assert found["Preempted"] == ("True", "Preempted", self.WHY.words)
        assert found["Admitted"][:2] == ("False", "Preempted")
        turned(course, replace(WAITS, tell=True)).at(12)
        assert (course.state, place(course)) == ("PREEMPTED", (3, 20))
        turned(course, None).at(13)
        assert (course.state, course.living, course.counts) == ("ADMITTED", [(0, 1), (1, 1)], (0, 1))
        assert conditions(course)[ConditionType.PREEMPTED][0] == "False"

    def test_it_looks_like_one_that_the_scheduler_of_the_cluster_preempted(self) -> None:
        ours = self.after(self.displaced())
        theirs = Course(inputs(4, 2)).at(0).runs(0, 1).at(5).preempted(0).preempted(1).at(11, passes=1)
        mine, its = conditions(ours), conditions(theirs)
        assert ours.state == theirs.state == "PREEMPTED"
        assert {kind: value[:2] for kind, value in mine.items()} == {kind: value[:2] for kind, value in its.items()}
        assert {event.partition(":")[0] for event in ours.events + theirs.events} == {"Preempted"}

    def test_no_preemption_is_allowed(self) -> None:
        course = self.displaced(max_preemptions=0).at(10).gone(0).gone(1).at(11)
        assert (course.state, course.error_code, course.counts) == ("FAILED", "PREEMPTIONS_EXHAUSTED", (0, 1))
        assert self.WHY.words in str(course.status.message)

    def test_completed_comes_first(self) -> None:
        course = self.displaced().succeeds(0, 1).at(10)
        assert (course.state, course.counts) == ("COMPLETED", (0, 0))


class TestStartTimeout:
    def test_it_queues_behind_its_equals_until_it_has_started(self) -> None:
        course = Course(inputs(2, 1)).at(0).at(600).gone(0).at(601)
        record = course.ledger.admission
        assert record is not None
        assert record.queued_at == NOW + seconds(600)
        course.at(800).runs(0, attempt=1).at(810)
        record = course.ledger.admission
        assert record is not None
        assert (course.state, record.queued_at) == ("RUNNING", None)

    def test_one_whose_pods_are_refused_gives_its_quota_back_and_does_not_fail_for_it(self) -> None:
        course = Course(inputs(2, 1)).at(0, passes=1)
        begin = 0
        for _ in range(4):
            course.pods.clear()
            refusal = Refusal("Quota", "exceeded quota: gpus", NOW + seconds(begin), times=9)
            course.snapshot = replace(course.snapshot, refusal=refusal)
            course.at(begin + 1, passes=1).at(begin + 599, passes=1)
            assert conditions(course)["Admitted"][:2] == ("False", "NamespaceQuota")
            course.pods.clear()
            course.at(begin + 600, passes=1)
            assert (course.state, conditions(course)["Admitted"][1]) == ("PENDING", "StartTimeout")
            assert course.events[-1] == "StartTimeout: did not start within 600 s: exceeded quota: gpus"
            assert course.ledger.start_timeouts is None
            due = course.ledger.next_admission
            assert due is not None
            assert seconds(840) <= due - NOW - seconds(begin) <= seconds(1080)
            begin = int((due - NOW).total_seconds())
            course.snapshot = replace(course.snapshot, refusal=None)
            course.at(begin, passes=1)
            assert course.state == "ADMITTED"
