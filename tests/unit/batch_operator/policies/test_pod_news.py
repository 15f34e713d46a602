"""Which words of a pod bring a pass over its job at once, which with the next, and which none."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.policies.pod_news import Haste, haste
from batch_operator.snapshot import PodRecord
from tests.builders import NOW, admitted, make_pod
from tests.unit.batch_operator.reconcile.course import Course

ADMITTED, RUNNING = admitted()[0], Course().at(0).runs(0, 1).at(3).job
STOPPING = Course().at(0).runs(0, 1).at(3).annotated(cancel_requested="yes").at(4).job
PENDING = make_pod(0, "Pending", node="", started_at=None)
BOUND = make_pod(0, "Pending", node="node-1", started_at=None)
LIVES, ENDED = make_pod(0, "Running"), make_pod(0, "Succeeded")


def asked(job: BatchJob | None, old: PodRecord | None, new: PodRecord | None, *, others_live: bool = True) -> Haste:
    return haste(job, old, new and replace(new, resource_version="900"), lambda: others_live)


def test_the_jobs_are_as_they_are_called() -> None:
    assert [str(job.status.status) for job in (ADMITTED, RUNNING)] == ["ADMITTED", "RUNNING"]
    assert STOPPING.status.ledger is not None
    assert STOPPING.status.ledger.stopping is not None


def test_a_pod_brings_no_pass_over_a_job_that_is_not_known() -> None:
    assert {asked(None, None, LIVES), asked(None, LIVES, ENDED), asked(None, LIVES, None)} == {Haste.NEVER}


@pytest.mark.parametrize("job", [ADMITTED, RUNNING], ids=["admitted", "running"])
def test_that_a_pod_has_got_its_node_brings_no_pass(job: BatchJob) -> None:
    assert asked(job, PENDING, BOUND) is Haste.NEVER
    assert asked(job, replace(PENDING, unschedulable="0/3 nodes"), BOUND) is Haste.NOW, "the message said why it waits"


@pytest.mark.parametrize(("old", "new"), [(BOUND, LIVES), (LIVES, ENDED), (BOUND, ENDED)])
def test_what_only_moves_the_progress_of_a_running_job_waits_for_company(old: PodRecord, new: PodRecord) -> None:
    assert asked(RUNNING, old, new) is Haste.SOON
    for job in (ADMITTED, STOPPING):
        assert asked(job, old, new) is Haste.NOW


def test_the_last_pod_s_end_is_the_job_s() -> None:
    assert asked(RUNNING, LIVES, ENDED, others_live=False) is Haste.NOW


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": "Failed", "exit_code": 1},
        {"deleting": True, "deletion_asked_at": NOW},
        {"disruption": "PreemptionByScheduler"},
        {"deleted": True},
        {"waiting_reason": "CrashLoopBackOff"},
        {"phase": "Unknown"},
    ],
    ids=lambda changes: next(iter(changes)) + str(next(iter(changes.values()))),
)
def test_trouble_brings_a_pass_at_once(changes: dict[str, Any]) -> None:
    assert asked(RUNNING, LIVES, replace(LIVES, **changes)) is Haste.NOW


def test_a_pod_that_comes_or_goes_brings_a_pass_at_once() -> None:
    assert asked(RUNNING, None, LIVES) is Haste.NOW
    assert asked(RUNNING, LIVES, None) is Haste.NOW
    assert asked(RUNNING, ENDED, replace(ENDED, message="read again")) is Haste.NOW
