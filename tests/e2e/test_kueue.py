"""A job handed over to Kueue, with the real operator, scheduler and kubelet. Kueue itself is played: its webhook by
tests.fakes.kueue_webhook, its controller by hand, as its documents tell it (docs/kueue.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.connection import Connection
from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History
from tests.fakes import kueue_webhook
from tests.fakes.kueue_webhook import GROUP, QUEUE

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

INPUTS = 4


@dataclass
class Seen:
    waiting: Any
    """The status while Kueue had not admitted it."""
    first: list[Any]
    evicted: list[Any]
    """The first round's pods once the kubelet had ended them, and before Kueue let them go."""
    waiting_again: Any
    second: list[Any]


@pytest.fixture(scope="module")
def kueue(installed: Connection, team: Team) -> Iterator[None]:
    if installed.kind != "local":
        pytest.skip("needs an API server on this machine, which can ask a webhook on loopback")
    with kueue_webhook.gates_pods_of(team.kubectl, team.namespace):
        yield
        for pod in team.pods("handed"):
            patch(team, pod, '{"metadata": {"finalizers": null}}')


def patch(team: Team, pod: Any, merge: str, *more: str) -> None:
    team.run("patch", "pod", pod["metadata"]["name"], "--type=merge", f"--patch={merge}", *more)


def admit(team: Team, pods: list[Any]) -> None:
    for pod in pods:
        patch(team, pod, '{"spec": {"schedulingGates": null}}')


def preempt(team: Team, pods: list[Any]) -> None:
    """As Kueue stops a group: the condition, then the delete."""
    target = (
        '[{"type": "TerminationTarget", "status": "True", "reason": "Preempted", "message": "by another Workload"}]'
    )
    for pod in pods:
        conditions = f'{{"status": {{"conditions": {target}}}}}'
        name = pod["metadata"]["name"]
        team.run("patch", "pod", name, "--subresource=status", "--type=strategic", f"--patch={conditions}")
    team.run("delete", "pod", "--wait=false", *(pod["metadata"]["name"] for pod in pods))


def attempt(pod: Any) -> str:
    return str(pod["metadata"]["labels"]["batch-operator.dev/attempt"])


@pytest.fixture(scope="module")
def seen(team: Team, history: History, kueue: None) -> Seen:
    losses.write_lines(team, INPUTS)
    losses.misbehaving(team, "gated-lines", always=losses.BEHIND_A_GATE)
    manifest = {
        "apiVersion": "batch-operator.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "handed", "labels": {QUEUE: "gpu"}},
        "spec": losses.job("gated-lines", 2, count=INPUTS),
    }
    team.run("apply", "-f", "-", stdin=manifest)

    def gated(number: str) -> list[Any]:
        return [p for p in team.pods("handed") if attempt(p) == number and p["spec"].get("schedulingGates")]

    def waits() -> bool:
        return "handed over to Kueue" in team.status("handed").get("message", "")

    team.until("its pods wait behind the gate", lambda: waits() and len(gated("0")) == 2)
    waiting, first = team.status("handed"), gated("0")
    admit(team, first)
    team.until("each pod has done an input", lambda: team.status("handed")["input_progress"]["completed"] == 2)
    preempt(team, first)
    team.until("the next round waits behind the gate", lambda: waits() and len(gated("1")) == 2)
    evicted = [pod for pod in team.pods("handed") if attempt(pod) == "0"]
    waiting_again, second = team.status("handed"), gated("1")
    for pod in evicted:  # each pod of the group has a terminal phase: Kueue lets it go
        patch(team, pod, '{"metadata": {"finalizers": null}}')
    losses.open_gate(team)
    admit(team, second)
    team.finished("handed")
    return Seen(waiting, first, evicted, waiting_again, second)


def test_it_is_pending_until_kueue_admits_it(seen: Seen, history: History) -> None:
    admitted = next(c for c in seen.waiting["conditions"] if c["type"] == "Admitted")
    assert (seen.waiting["status"], admitted["status"], admitted["reason"]) == ("PENDING", "False", "HandedOver")
    assert "queue_position" not in seen.waiting
    states = history.states("handed")
    assert states[:3] == ["PENDING", "ADMITTED", "RUNNING"]
    assert states[3:] == ["PREEMPTED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"]


def test_the_kubelet_ends_evicted_pods_which_stay_for_kueue(seen: Seen) -> None:
    assert len(seen.evicted) == 2
    for pod in seen.evicted:
        assert pod["status"]["phase"] == "Failed"
        assert pod["metadata"]["finalizers"] == [kueue_webhook.MANAGED]
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 75


def test_the_next_round_is_a_new_group_with_the_inputs_that_are_left(seen: Seen, team: Team) -> None:
    groups = [{pod["metadata"]["labels"][GROUP] for pod in pods} for pods in (seen.first, seen.second)]
    assert [len(names) for names in groups] == [1, 1]
    assert groups[0] != groups[1]
    status = team.status("handed")
    assert status["status"] == "COMPLETED"
    assert (status["preemption_count"], status["retry_count"]) == (2, 0)
    assert status["input_progress"]["completed"] == INPUTS
    inputs = [pod["metadata"]["annotations"]["batch-operator.dev/inputs"] for pod in seen.second]
    assert sorted(inputs) == ["1", "3"]
