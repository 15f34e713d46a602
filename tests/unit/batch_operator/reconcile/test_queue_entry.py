"""A job as the scheduler sees it, from the stored object and its pods alone."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.reconcile import queue_entry
from batch_operator.scheduling.observed import Holder, PodSet, WaitingJob
from tests.builders import GPU, NOW, make_batchjob, make_queued_job, pod_of, seconds

LATER = "2026-04-14T10:05:00Z"
STOPPING = {"stopping": {"reason": "Preempted", "since": LATER, "preemptor": "high"}}


def waiting(**changes: Any) -> WaitingJob:
    found = queue_entry.entry(make_queued_job("one", 2, **changes), ())
    assert isinstance(found, WaitingJob)
    return found


def holding(state: str = "RUNNING", pods: int = 0, **changes: Any) -> Holder:
    job = make_queued_job("one", 2, state, **changes)
    found = queue_entry.entry(job, [pod_of(job, index) for index in range(pods)])
    assert isinstance(found, Holder)
    return found


class TestWaiting:
    @pytest.mark.parametrize(
        ("state", "reason"),
        [("PENDING", "WaitingForQuota"), ("PENDING", "BackOff"), ("PREEMPTED", "Preempted"), ("PENDING", "Suspended")],
    )
    def test_a_job_without_pods_that_is_not_admitted(self, state: str, reason: str) -> None:
        found = waiting(state=state, reason=reason)
        assert found.request == {"pods": 2000, GPU: 2000}
        assert (found.queued_at, found.priority, found.not_before) == (NOW, 0, None)

    def test_its_place_after_a_failed_start(self) -> None:
        found = waiting(admission={"queued_at": LATER}, ledger={"next_admission": LATER})
        assert found.queued_at == found.not_before == NOW + seconds(300)

    def test_what_its_place_is_made_of(self) -> None:
        found = waiting(
            suspend=True,
            admission={"priority": 7},
            ledger={"preemption_base": 2, "waiting_since": LATER},
            status={"preemption_count": 5},
        )
        assert (found.priority, found.preemptions, found.suspended) == (7, 3, True)
        assert found.waiting_since == NOW + seconds(300)

    def test_a_back_off_of_all_its_indexes(self) -> None:
        both = {"components": {"worker": {"parallelism": 2, "next_retry": {"0": LATER, "1": "2026-04-14T10:09:00Z"}}}}
        assert waiting(ledger=both).not_before == NOW + seconds(300)
        one = {"components": {"worker": {"parallelism": 2, "next_retry": {"0": LATER}}}}
        assert waiting(ledger=one).not_before is None

    def test_before_its_first_status_it_is_what_it_asks(self) -> None:
        asks = waiting()
        assert queue_entry.entry(make_batchjob(), (), asks=asks) is asks
        assert queue_entry.entry(make_batchjob(), ()) is None
        assert queue_entry.entry(make_batchjob(deletionTimestamp=LATER), (), asks=asks) is None


class TestHolder:
    @pytest.mark.parametrize("pods", [0, 1, 2])
    def test_it_holds_what_status_authorises_whatever_pods_are_there(self, pods: int) -> None:
        found = holding(pods=pods)
        assert found.request == {"pods": 2000, GPU: 2000}
        assert (found.queue, found.admitted_at, found.ending_since) == ("research", NOW, None)

    @pytest.mark.parametrize("reason", ["NamespaceQuota", "CreateRefused"])
    def test_also_where_its_pods_are_refused(self, reason: str) -> None:
        assert holding("PENDING", reason=reason).request[GPU] == 2000

    def test_an_index_that_has_ended_holds_nothing(self) -> None:
        one = {"components": {"worker": {"parallelism": 2, "succeeded_indexes": "0"}}}
        assert holding(ledger=one).request[GPU] == 1000

    def test_pods_of_earlier_attempts_count_beside(self) -> None:
        job = make_queued_job("one", 2, "RUNNING")
        ledger = {"components": {"worker": {"parallelism": 2, "attempts": "0:1"}}}
        moved = make_queued_job("one", 2, "RUNNING", ledger=ledger)
        found = queue_entry.entry(moved, [pod_of(job, 0), pod_of(job, 1)])
        assert isinstance(found, Holder)
        assert found.request[GPU] == 3000
        assert queue_entry.entry(moved, [pod_of(job, 0), pod_of(job, 1)], gone={"one-0"}) == holding(ledger=ledger)

    def test_where_its_pods_are(self) -> None:
        ledger = {"components": {"worker": {"parallelism": 4, "attempts": "2:1"}}}
        job = make_queued_job("one", 4, "RUNNING", ledger=ledger)
        old = pod_of(job, 2, attempt=0, uid="old", node="b")
        pods = [pod_of(job, 0, node="a"), pod_of(job, 1, node="a"), pod_of(job, 3, "Pending", node=""), old]
        found = queue_entry.entry(job, pods)
        assert isinstance(found, Holder)
        one = ((GPU, 1000),)
        assert found.placed == (("a", PodSet(2, one)), ("b", PodSet(1, one)))
        assert found.unplaced == (PodSet(2, one),)

    def test_the_queue_that_admitted_it(self) -> None:
        assert holding(queue="other", admission={"queue": "research"}).queue == "research"

    def test_while_it_is_stopped_it_holds_its_living_pods(self) -> None:
        found = holding(pods=1, ledger=STOPPING)
        assert (found.request[GPU], found.preempted_for) == (1000, "high")
        assert found.ending_since == NOW + seconds(300)
        assert holding(ledger=STOPPING).request == {"pods": 0}


class TestLeftoverPods:
    @pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "PENDING", "PREEMPTED"])
    def test_of_a_job_that_has_ended_or_waits(self, state: str) -> None:
        job = make_queued_job("one", 2, state)
        found = queue_entry.entry(job, [pod_of(job, 0), pod_of(job, 1, "Succeeded")])
        assert isinstance(found, Holder)
        assert (found.request[GPU], found.queue) == (1000, "research")
        assert found.ending_since is not None

    @pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED"])
    def test_an_ended_job_without_pods_is_nothing(self, state: str) -> None:
        job = make_queued_job("one", 2, state)
        assert queue_entry.entry(job, ()) is None
        assert queue_entry.entry(job, [pod_of(job)], gone={"one-0"}) is None

    @pytest.mark.parametrize("state", ["PENDING", "ADMITTED", "RUNNING"])
    def test_a_job_that_is_being_deleted_holds_its_pods_only(self, state: str) -> None:
        job = make_queued_job("one", 2, state, deletionTimestamp=LATER)
        assert queue_entry.entry(job, ()) is None, "its finalizers may keep it for long"
        found = queue_entry.entry(job, [pod_of(job)])
        assert isinstance(found, Holder)
        assert found.ending_since is not None, "nobody can ask it to give way"

    def test_orphaned_pods(self) -> None:
        pod = pod_of(make_queued_job("one"))
        asked = replace(pod, uid="other", deletion_asked_at=NOW + seconds(60))
        found = queue_entry.orphaned("one", [pod, asked])
        assert found is not None
        assert (found.queue, found.request[GPU], found.ending_since) == ("research", 2000, NOW + seconds(60))
        assert queue_entry.orphaned("one", [replace(pod, deleted=True)]) is None


class TestUpgrade:
    """A status by an operator that had no queues: no ledger.admission."""

    def of(self, state: str, pods: int) -> Any:
        job = make_queued_job("one", 2, state)
        ledger = job.status.ledger
        assert ledger is not None
        status = job.status.model_copy(update={"ledger": ledger.model_copy(update={"admission": None})})
        job = job.model_copy(update={"status": status})
        return queue_entry.entry(job, [pod_of(job, index, queue="") for index in range(pods)])

    def test_a_running_job_holds_its_pods_in_the_queue_it_names(self) -> None:
        found = self.of("RUNNING", 2)
        assert (found.request[GPU], found.queue) == (2000, "research")

    @pytest.mark.parametrize("state", ["PENDING", "PREEMPTED"])
    def test_a_waiting_one_asks_with_its_next_pass(self, state: str) -> None:
        assert self.of(state, 0) is None

    def test_an_unreadable_status(self) -> None:
        job = make_queued_job("one", 2, "RUNNING").model_copy(update={"unreadable_status": "of another version"})
        assert queue_entry.entry(job, ()) is None
        found = queue_entry.entry(job, [pod_of(job)])
        assert isinstance(found, Holder)
