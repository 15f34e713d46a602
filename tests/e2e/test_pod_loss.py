"""Workers that are taken away, and workers that fail: the first are preemptions, the second retries, each counts once.

All jobs run at the same time: three pods each, of which one or two are lost. What happens to them is done once, by
the fixture `lost`; the tests look at what became of them.
"""

from typing import Any

import pytest

from tests.cluster.connection import Connection
from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 6
DISK = "open('/tmp/x', 'wb').write(bytes(40 << 20)); import time; time.sleep(1000)"
MEMORY = "b'x' * (1 << 30)"
PREEMPTED = {"evicted": 1, "drained": 2, "deleted": 1, "deleted-while-away": 1}
"""Job -> pods that it loses."""
FAILED = ("killed", "out-of-memory", "over-its-disk")
SMALL = {"cpu": "50m", "memory": "256Mi"}
"""23 pods are there at once, and most wait behind the gate until all of `killed` run: a node of two cores must have
room for all of them."""


def lose(cluster: Connection, team: Team) -> None:
    """One loss after the other; each is seen by the operator but for the last, which happens while it is down."""
    losses.evict(team, losses.pod_of(team, "evicted", 1))
    losses.kill(cluster, losses.pod_of(team, "killed", 1))
    team.run("delete", "pod", losses.pod_of(team, "deleted", 1)["metadata"]["name"], "--wait=false")
    try:
        lost = "batch-operator.dev/job-name=drained,batch-operator.dev/index in (0, 1)"
        team.kubectl.run("drain", cluster.real_node, f"--pod-selector={lost}", "--force", "--delete-emptydir-data")
    finally:
        team.kubectl.run("uncordon", cluster.real_node)
    for name in ("evicted", "deleted", "drained"):
        team.until(
            f"{name} was counted",
            lambda name=name: team.status(name)["preemption_count"] == PREEMPTED[name],  # type: ignore[misc]  # a lambda with a default
        )
    team.kubectl.run("scale", *losses.OPERATOR, "--replicas=0")
    team.kubectl.run("wait", "pod", "--for=delete", "-lapp.kubernetes.io/name=batch-operator", losses.OPERATOR[1])
    try:
        team.run("delete", "pod", losses.pod_of(team, "deleted-while-away", 1)["metadata"]["name"])
    finally:
        team.kubectl.run("scale", *losses.OPERATOR, "--replicas=1")


@pytest.fixture(scope="module")
def lost(cluster: Connection, team: Team, history: History) -> dict[str, Any]:
    """Job -> its last status."""
    losses.write_lines(team, INPUTS)
    gate = losses.BEHIND_A_GATE
    losses.misbehaving(team, "gated", always=gate, resources=SMALL)
    losses.misbehaving(team, "out-of-memory", MEMORY, gate, resources=SMALL)
    losses.misbehaving(team, "over-its-disk", DISK, gate, resources=SMALL | {"ephemeral_storage": "20Mi"})
    for name in ("out-of-memory", "over-its-disk"):
        team.apply(name, losses.job(name, 3, 0, INPUTS))
    for name in (*PREEMPTED, "killed"):
        team.apply(name, losses.job("gated", 3, 0, INPUTS))
    team.apply("undisturbed", losses.job("line-count", 2, 0, INPUTS))
    for name in (*PREEMPTED, "killed"):

        def running(name: str = name) -> bool:
            return [pod["status"]["phase"] for pod in team.pods(name)] == ["Running"] * 3

        team.until(f"all pods of {name} run", running)
    lose(cluster, team)
    for name in FAILED:
        team.until(f"{name} was counted", lambda name=name: team.status(name)["retry_count"] == 1)  # type: ignore[misc]  # a lambda with a default
    team.until(
        "what was lost while away was counted", lambda: team.status("deleted-while-away")["preemption_count"] == 1
    )
    losses.open_gate(team)
    return {name: team.finished(name) for name in (*PREEMPTED, *FAILED, "undisturbed")}


@pytest.mark.parametrize("name", [*PREEMPTED, *FAILED])
class TestEach:
    def test_it_stays_running_and_completes(self, lost: dict[str, Any], history: History, name: str) -> None:
        states = history.states(name)
        assert states[states.index("RUNNING") :] == ["RUNNING", "COMPLETED"]
        assert lost[name]["input_progress"] == {"pending": 0, "processing": 0, "completed": INPUTS, "failed": 0}

    def test_it_counts_as_what_it_was(self, lost: dict[str, Any], name: str) -> None:
        expected = (PREEMPTED[name], 0) if name in PREEMPTED else (0, 1)
        assert (lost[name]["preemption_count"], lost[name]["retry_count"]) == expected

    def test_only_what_was_lost_comes_back(self, lost: dict[str, Any], history: History, name: str) -> None:
        again = [attempts for attempts in history.attempts(name).values() if attempts == [0, 1]]
        assert len(again) == PREEMPTED.get(name, 1)
        assert sum(map(len, history.attempts(name).values())) == 3 + len(again)

    def test_the_results_are_those_of_an_undisturbed_run(self, lost: dict[str, Any], team: Team, name: str) -> None:
        assert losses.outputs(team, name) == losses.outputs(team, "undisturbed")
