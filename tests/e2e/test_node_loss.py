"""Workers whose node goes: it shuts down, falls silent, is deleted, is called out of service, or has no working GPU.

All of it happens to a second real node, real-1 (tests/cluster/spare_node.py). Jobs begin there, since real-0 is
cordoned meanwhile, and go on on real-0, where the operator is.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import spare_node
from tests.cluster.connection import Connection
from tests.cluster.node_files import SPARE_TAINT
from tests.cluster.spare_node import SpareNode
from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(420)]

INPUTS = 4
SPARE = {"key": SPARE_TAINT, "operator": "Exists"}
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
PODGC_QUARANTINE_SECONDS = 40


def tolerating(seconds: int | None) -> list[dict[str, Any]]:
    """real-1, and `seconds` of its silence; None: any silence."""
    limit = {} if seconds is None else {"toleration_seconds": seconds}
    return [SPARE, UNREACHABLE | limit, NOT_READY | limit]


@pytest.fixture(scope="module")
def spare(cluster: Connection, installed: Connection) -> Iterator[SpareNode]:
    if cluster.kind != "local":
        pytest.skip("needs the local cluster: a second real node is started and broken")
    with spare_node.running(cluster.client()) as node:
        yield node


@pytest.fixture(scope="module", autouse=True)
def lines(team: Team) -> None:
    """Written once: a part is made anew where its input has changed, be it only its time."""
    losses.write_lines(team, INPUTS)


@pytest.fixture(scope="module")
def begin(cluster: Connection, team: Team, spare: SpareNode) -> Callable[..., None]:
    """Starts jobs by name, and returns once the only pod of each runs on real-1; none is placed there after that."""
    components: dict[str, dict[str, Any]] = {
        "leaves-soon": {"tolerations": tolerating(1)},
        "stays": {"tolerations": tolerating(None)},
        "is-forced": {"tolerations": tolerating(1), "force_delete_after_seconds": 2},
    }
    for key, component in components.items():
        losses.misbehaving(team, key, losses.SLOW_AFTER_ITS_FIRST_INPUT, **component)
    team.apply("undisturbed", losses.job("line-count", 2, 0, INPUTS))
    team.finished("undisturbed")

    def run(**keys: str) -> None:
        team.kubectl.run("uncordon", spare.name)
        with losses.cordoned(team.kubectl, cluster.real_node):
            for name, key in keys.items():
                team.apply(name, losses.job(key, 1, 0, INPUTS))
            for name in keys:
                team.until(f"{name} has done an input", lambda name=name: done(team, name) > 0)  # type: ignore[misc]  # a lambda with a default
        team.kubectl.run("cordon", spare.name)

    return run


def done(team: Team, name: str) -> int:
    status = team.status(name)
    return int(status["input_progress"]["completed"]) if status.get("status") == "RUNNING" else 0


def assert_it_came_back(team: Team, history: History, name: str) -> None:
    """As after any other preemption of its only pod."""
    status = team.finished(name)
    states = history.states(name)
    assert states[states.index("RUNNING") :] == ["RUNNING", "PREEMPTED", "ADMITTED", "RUNNING", "COMPLETED"]
    assert (status["preemption_count"], status["retry_count"]) == (1, 0)
    assert history.attempts(name) == {0: [0, 1]}
    assert 0 not in history.inputs(name, 0, 1), "a finished input is not given out again"
    assert losses.outputs(team, name) == losses.outputs(team, "undisturbed")


def test_a_graceful_shutdown(team: Team, history: History, spare: SpareNode, begin: Callable[..., None]) -> None:
    begin(shutdown="leaves-soon")
    spare.shut_down()
    assert_it_came_back(team, history, "shutdown")
    (lost,) = [p for p in history.pods("shutdown").values() if p["spec"]["nodeName"] == spare.name]
    assert lost["status"]["reason"] == "Terminated"
    spare.shut_down(really=False)
    team.kubectl.run("wait", f"node/{spare.name}", "--for=condition=Ready", "--timeout=60s", timeout_seconds=70)


def test_a_device_plugin_that_refuses(team: Team, history: History, spare: SpareNode) -> None:
    """The kubelet rejects the pods: preemptions before a start, from the third on with back-off."""
    component = {"tolerations": [SPARE], "node_selector": {"kubernetes.io/hostname": spare.name}}
    losses.pipeline(team, "gpu", resources={"cpu": "100m", "memory": "256Mi", "gpu": {"count": 1}}, **component)
    team.kubectl.run("uncordon", spare.name)
    with spare.devices("refuse"):
        team.apply("refused", losses.job("gpu", 1, 0, INPUTS))
        team.until("three pods were rejected", lambda: team.status("refused").get("preemption_count", 0) >= 3)
        assert team.status("refused")["retry_count"] == 0
    status = team.finished("refused")
    assert status["status"] == "COMPLETED"
    assert status["retry_count"] == 0
    rejected = [p for p in history.pods("refused").values() if p["status"]["phase"] == "Failed"]
    assert {p["status"]["reason"] for p in rejected} == {"UnexpectedAdmissionError"}
    assert status["preemption_count"] == len(rejected)
    assert "PENDING" in history.states("refused"), "in back-off the job waits"


def test_a_node_that_falls_silent_and_is_deleted(
    team: Team, history: History, spare: SpareNode, begin: Callable[..., None]
) -> None:
    """Its containers run on all the while, and write."""
    begin(forced="is-forced", deleted="stays")
    spare.kill_kubelet()
    assert_it_came_back(team, history, "forced")
    assert team.status("deleted")["status"] == "RUNNING"
    team.kubectl.run("delete", "node", spare.name)
    gone_at = time.monotonic()
    assert_it_came_back(team, history, "deleted")
    assert time.monotonic() - gone_at >= PODGC_QUARANTINE_SECONDS, "a Node may come back that soon"


def test_a_node_that_is_called_out_of_service(
    team: Team, history: History, spare: SpareNode, begin: Callable[..., None]
) -> None:
    spare.start_kubelet()
    begin(outofservice="leaves-soon")
    spare.kill_kubelet()
    team.until("the pod cannot end", lambda: "cannot end" in team.status("outofservice")["message"])
    assert spare.name in team.status("outofservice")["message"]
    time.sleep(5)
    assert team.status("outofservice")["preemption_count"] == 0, "its worker may still run"
    team.kubectl.run("taint", "node", spare.name, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
    assert_it_came_back(team, history, "outofservice")
