"""The ladder: what became of a pod (design section 2)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from batch_operator.policies.pod_outcome import Outcome, how_it_failed, how_it_was_lost, outcome
from tests.builders import NOW, make_pod, seconds

SOON, LATER = NOW + seconds(10), NOW + seconds(20)
DISRUPTED = {"disruption": "EvictionByEvictionAPI: Eviction API: evicting"}
LEFT_ONE_OPEN = {"termination_message": json.dumps({"completed": "0"})}
UNSTARTED = {"exit_code": None, "started_at": None}


@pytest.mark.parametrize(
    ("phase", "changes", "expected"),
    [
        pytest.param("Running", {}, Outcome.LIVE, id="runs"),
        pytest.param("Pending", {}, Outcome.LIVE, id="waits"),
        pytest.param("Running", DISRUPTED | {"deleting": True}, Outcome.LIVE, id="is being ended"),
        pytest.param("Succeeded", {}, Outcome.ENDED, id="exit 0"),
        pytest.param("Failed", {"exit_code": 65}, Outcome.ENDED, id="exit 65"),
        pytest.param("Failed", {"exit_code": 1}, Outcome.FAILED, id="exit 1"),
        pytest.param("Failed", {"exit_code": 75}, Outcome.FAILED, id="exit 75 without SIGTERM"),
        pytest.param("Failed", {"exit_code": 137}, Outcome.FAILED, id="SIGKILL by nobody we know"),
        pytest.param("Failed", {"exit_code": 143}, Outcome.FAILED, id="SIGTERM by nobody we know"),
        pytest.param("Failed", {"exit_code": 137, "container_reason": "OOMKilled"}, Outcome.FAILED, id="OOM"),
        pytest.param("Failed", {"exit_code": 64}, Outcome.FATAL, id="exit 64"),
        pytest.param("Failed", {"exit_code": 64} | DISRUPTED, Outcome.FATAL, id="exit 64 of a disrupted pod"),
        pytest.param("Failed", {"exit_code": 128, "container_reason": "StartError"}, Outcome.FAILED, id="no command"),
        pytest.param("Failed", {"exit_code": 1} | DISRUPTED, Outcome.PREEMPTED, id="disrupted: whatever its code"),
        pytest.param("Failed", {"exit_code": 65} | DISRUPTED, Outcome.PREEMPTED, id="disrupted with exit 65"),
        pytest.param(
            "Failed", {"exit_code": 137, "reason": "Evicted"} | DISRUPTED, Outcome.PREEMPTED, id="node pressure"
        ),
        pytest.param("Failed", {"exit_code": 137, "reason": "Evicted"}, Outcome.FAILED, id="overran its own limit"),
        pytest.param("Failed", {"reason": "Evicted"} | UNSTARTED, Outcome.FAILED, id="overran it before its start"),
        pytest.param(
            "Failed", {"reason": "UnexpectedAdmissionError"} | UNSTARTED, Outcome.PREEMPTED, id="rejected: device"
        ),
        pytest.param("Failed", {"reason": "OutOfcpu"} | UNSTARTED, Outcome.PREEMPTED, id="rejected: no room"),
        pytest.param("Failed", {"reason": "NodeShutdown"} | UNSTARTED, Outcome.PREEMPTED, id="rejected: shutdown"),
        pytest.param("Failed", {"reason": "DeadlineExceeded"} | UNSTARTED, Outcome.FAILED, id="its own deadline"),
        pytest.param("Failed", {"exit_code": 143, "reason": "Terminated"}, Outcome.PREEMPTED, id="graceful shutdown"),
        pytest.param("Running", {"node_gone": True}, Outcome.PREEMPTED, id="its node is gone"),
        pytest.param("Failed", {"exit_code": 1, "node_gone": True}, Outcome.FAILED, id="failed before its node went"),
        pytest.param("Running", {"deleted": True}, Outcome.PREEMPTED, id="vanished while it ran"),
        pytest.param("Pending", {"deleted": True}, Outcome.PREEMPTED, id="vanished before it ran"),
        pytest.param("Succeeded", {"deleted": True}, Outcome.ENDED, id="cleaned away after success"),
        pytest.param(
            "Failed",
            {"exit_code": 75, "deleting": True, "deletion_asked_at": SOON, "finished_at": LATER},
            Outcome.PREEMPTED,
            id="deleted by somebody, then exit 75",
        ),
        pytest.param(
            "Failed",
            {"exit_code": 1, "deleted": True, "deletion_asked_at": LATER, "finished_at": SOON},
            Outcome.FAILED,
            id="failed, then cleaned away",
        ),
        pytest.param(
            "Failed",
            {"exit_code": 75, "deleting": True, "deletion_asked_at": LATER, "finished_at": SOON},
            Outcome.PREEMPTED,
            id="exit 75 and deleted: whatever the kubelet's own delete did to the times",
        ),
        pytest.param("Succeeded", DISRUPTED, Outcome.PREEMPTED, id="disrupted, exit 0, never reported"),
        pytest.param("Succeeded", DISRUPTED | LEFT_ONE_OPEN, Outcome.PREEMPTED, id="disrupted, exit 0, inputs left"),
        pytest.param("Succeeded", LEFT_ONE_OPEN, Outcome.ENDED, id="exit 0 with inputs left: they fail"),
    ],
)
def test_outcome(phase: str, changes: dict[str, Any], expected: Outcome) -> None:
    assert outcome(make_pod(0, phase, **changes)) is expected


@pytest.mark.parametrize(
    "changes", [{"exit_code": 1}, DISRUPTED, {"deleted": True}], ids=["failed", "disrupted", "gone"]
)
def test_a_pod_none_of_whose_inputs_is_open_has_ended(changes: dict[str, Any]) -> None:
    pod = make_pod(0, "Failed", **changes)
    assert outcome(pod, ended_inputs={0, 1}) is Outcome.ENDED
    assert outcome(pod, ended_inputs={0}) is not Outcome.ENDED


def test_a_component_without_inputs_never_ends_by_them() -> None:
    assert outcome(make_pod(0, "Failed", inputs=""), ended_inputs={0, 1}) is Outcome.FAILED


def test_the_words_name_the_pod_and_why() -> None:
    oom = make_pod(0, "Failed", exit_code=137, container_reason="OOMKilled", termination_message="line\nof a log")
    assert how_it_failed(oom) == f"pod {oom.name} failed (OOMKilled, exit code 137): line of a log"
    assert how_it_was_lost(make_pod(0, **DISRUPTED)).endswith("(EvictionByEvictionAPI: Eviction API: evicting)")
    assert how_it_was_lost(make_pod(0, node_gone=True)).endswith("(node node-1 is gone)")
    assert how_it_was_lost(make_pod(0, deleted=True)).endswith("(it was deleted)")


def test_a_deletion_is_dated_by_when_it_was_asked_for() -> None:
    asked = NOW - timedelta(seconds=1)
    pod = make_pod(0, "Failed", deleting=True, deletion_asked_at=asked, finished_at=NOW)
    assert outcome(pod) is Outcome.PREEMPTED
