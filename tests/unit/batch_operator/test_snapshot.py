"""What records keep of the API server's objects."""

from typing import Any

import pytest

from batch_operator.policies.pod_outcome import Outcome, outcome
from batch_operator.snapshot import NodeRecord, decode_node, decode_pod
from tests.unit.batch_operator import recorded_kueue


def raw_node(spec: dict[str, Any] | None = None, **conditions: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": status} for kind, status in conditions.items()]
    metadata = {"name": "gpu-1", "uid": "u", "resourceVersion": "7"}
    return {"metadata": metadata, "spec": spec or {}, "status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("raw", "ready", "out_of_service"),
    [
        (raw_node(Ready="True", DiskPressure="False"), True, False),
        (raw_node(Ready="False"), False, False),
        (raw_node(Ready="Unknown"), False, False),
        ({"metadata": {"name": "gpu-1", "uid": "u", "resourceVersion": "7"}}, False, False),
        (
            raw_node({"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}, Ready="True"),
            True,
            True,
        ),
        (raw_node({"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}, Ready="True"), True, False),
    ],
    ids=["ready", "not-ready", "unheard-of", "new", "out-of-service", "another-taint"],
)
def test_a_node(raw: dict[str, Any], ready: bool, out_of_service: bool) -> None:
    assert decode_node(raw) == NodeRecord("gpu-1", "u", "7", ready, out_of_service)


def raw_pod(phase: str, *, deletion: tuple[str, int] | None = None, finished: str = "") -> dict[str, Any]:
    """As the kubelet and `kubectl delete pod` left one on a real node; `deletion`: due when, after what grace."""
    meta: dict[str, Any] = {"namespace": "ns", "name": "p", "uid": "u", "resourceVersion": "1"}
    if deletion:
        meta |= {"deletionTimestamp": deletion[0], "deletionGracePeriodSeconds": deletion[1]}
    state = {"terminated": {"exitCode": 143, "finishedAt": finished}} if finished else {"running": {}}
    return {"metadata": meta, "status": {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}]}}


ASKED = raw_pod("Running", deletion=("2026-11-22T14:00:09Z", 10))
ENDED = raw_pod("Failed", finished="2026-11-22T14:00:00Z")
CONFIRMED = raw_pod("Failed", deletion=("2026-11-22T14:00:01Z", 0), finished="2026-11-22T14:00:00Z")


@pytest.mark.parametrize(
    ("before", "expected"),
    [(ASKED, Outcome.PREEMPTED), (ENDED, Outcome.FAILED)],
    ids=["deleted while it ran", "cleaned away after it had failed"],
)
def test_the_kubelet_s_own_delete_does_not_move_the_moment_when_it_was_asked_for(
    before: dict[str, Any], expected: Outcome
) -> None:
    assert outcome(decode_pod(CONFIRMED).following(decode_pod(before))) is expected


@pytest.mark.parametrize(
    ("raw", "gate", "unschedulable", "is_gated", "expected"),
    [
        (recorded_kueue.GATED, "kueue.x-k8s.io/admission", False, True, Outcome.LIVE),
        (recorded_kueue.DELETED_BEHIND_ITS_GATE, "kueue.x-k8s.io/admission", False, True, Outcome.LIVE),
        (recorded_kueue.EVICTED_UNSCHEDULED, "", True, False, Outcome.PREEMPTED),
        (recorded_kueue.DELETED_SINGLE, "", False, False, Outcome.LIVE),
    ],
    ids=["gated", "deleted behind its gate", "evicted before it had a node", "deleted while it runs"],
)
def test_a_pod_of_kueue_s(
    raw: dict[str, Any], gate: str, unschedulable: bool, is_gated: bool, expected: Outcome
) -> None:
    pod = decode_pod(raw)
    assert (pod.gate, bool(pod.unschedulable), pod.is_gated) == (gate, unschedulable, is_gated)
    assert outcome(pod) is expected


def test_kueue_s_own_words_say_why_it_was_evicted() -> None:
    pod = decode_pod(recorded_kueue.EVICTED_UNSCHEDULED)
    assert pod.disruption == "StoppedByKueue: Exceeded the PodsReady timeout default/group"


def test_a_gated_pod_that_podgc_has_ended_was_preempted_and_is_gated_no_more() -> None:
    raw = recorded_kueue.DELETED_BEHIND_ITS_GATE
    pod = decode_pod({**raw, "status": {"phase": "Failed"}})
    assert not pod.is_gated
    assert outcome(pod) is Outcome.PREEMPTED
