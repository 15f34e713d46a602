"""A pod's life as the driver plays it, read as the operator reads it."""

from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.cluster.resource_paths import NAMESPACES, PODS
from batch_operator.snapshot import PodRecord, decode_pod
from tests.fakes import disruptions
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.nodes import Nodes
from tests.fakes.pod_scripts import Happening, Script, report
from tests.fakes.pods import PodDriver

PATH = PODS.path("team-a")


class Run:
    """One pod on a fresh server."""

    def __init__(self, script: Script) -> None:
        self.server = FakeAPIServer()
        self.reports: list[tuple[float, Any]] = []
        self.clock = self.server.clock
        self.nodes = Nodes(self.server, {"node-1": 2})
        self.driver = PodDriver(
            self.server,
            self.nodes,
            lambda _: script,
            lambda _, body: self.reports.append((self.clock.time(), body)),
            lambda act, pod: act(self, pod),
        )
        self.server.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
        self.make("w")

    def make(self, name: str, gpus: int = 1) -> None:
        labels = {names.COMPONENT_LABEL: "worker", names.INDEX_LABEL: "0", names.ATTEMPT_LABEL: "0"}
        meta = {"name": name, "labels": labels, "annotations": {names.INPUTS_ANNOTATION: "0-1"}}
        container = {"name": "worker", "image": "x", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 30}
        self.server.create(PATH, {"metadata": meta, "spec": spec})

    def at(self, second: float, name: str = "w") -> PodRecord | None:
        self.clock.advance_to(second)
        items = self.server.list_page(PATH)["items"]
        return next((decode_pod(item) for item in items if item["metadata"]["name"] == name), None)

    def conditions(self, name: str = "w") -> set[tuple[str, str]]:
        conditions = self.server.get(f"{PATH}/{name}")["status"]["conditions"]
        return {(c["type"], c.get("reason", "")) for c in conditions if c["status"] == "True"}


def seen(pod: PodRecord | None) -> tuple[str, str, int | None]:
    assert pod is not None
    return pod.phase, pod.node, pod.exit_code


def test_it_is_scheduled_runs_and_ends() -> None:
    run = Run(Script(ends=10.0, exit_code=3, message="no"))
    assert seen(run.at(0.5)) == ("Pending", "", None)
    assert seen(run.at(2)) == ("Pending", "node-1", None)
    assert seen(run.at(4)) == ("Running", "node-1", None)
    ended = run.at(14)
    assert seen(ended) == ("Failed", "node-1", 3)
    assert ended is not None
    assert ended.termination_message == "no"


def test_it_reports_and_repeats_its_last_report_as_a_heartbeat() -> None:
    run = Run(Script(reports=((1.0, report("0")),), ends=50.0))
    run.at(60)
    assert run.reports == [(second, report("0")) for second in (4.0, 23.0, 43.0)]


def test_it_waits_for_its_image() -> None:
    pod = Run(Script(starts=None, waiting=("ImagePullBackOff", "Back-off"))).at(100)
    assert pod is not None
    assert (pod.phase, pod.waiting_reason, pod.started_at) == ("Pending", "ImagePullBackOff", None)


@pytest.mark.parametrize(("grace", "exit_code"), [(30, 75), (1, 137)], ids=["in time", "killed"])
def test_a_deleted_pod_ends_before_it_is_gone(grace: int, exit_code: int) -> None:
    run = Run(Script(ends=None, stop_seconds=2.0))
    run.at(5)
    run.server.delete(f"{PATH}/w", grace_seconds=grace)
    assert seen(run.at(5.5)) == ("Running", "node-1", None)
    assert seen(run.at(5 + min(grace, 2))) == ("Failed", "node-1", exit_code)
    assert run.at(8) is None


def test_a_pod_without_room_waits_for_one_to_go() -> None:
    run = Run(Script(ends=10.0))
    run.make("greedy", gpus=2)
    waiting = run.at(5, "greedy")
    assert waiting is not None
    assert (waiting.node, waiting.unschedulable) == ("", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    assert seen(run.at(20, "greedy")) == ("Running", "node-1", None)


def test_the_kubelet_may_refuse_it() -> None:
    pod = Run(Script(rejected=("UnexpectedAdmissionError", "Allocate failed"))).at(20)
    assert seen(pod) == ("Failed", "node-1", None)
    assert pod is not None
    assert (pod.reason, pod.message, pod.started_at) == ("UnexpectedAdmissionError", "Allocate failed", None)


@pytest.mark.parametrize(
    ("happening", "reason", "exit_code", "disrupted"),
    [
        (disruptions.evicted_for_its_own_limit, "Evicted", 137, False),
        (disruptions.evicted_under_pressure, "Evicted", 137, True),
        (disruptions.node_shuts_down, "Terminated", 75, True),
    ],
    ids=["own limit", "pressure", "shutdown"],
)
def test_the_kubelet_may_end_it(happening: Happening, reason: str, exit_code: int, disrupted: bool) -> None:
    run = Run(Script(ends=None, reports=((1.0, report("0")),), happens=((2.0, happening),)))
    pod = run.at(10)
    assert pod is not None
    assert (pod.phase, pod.reason, pod.exit_code) == ("Failed", reason, exit_code)
    assert pod.termination_message == ('{"completed": "0", "processing": "", "failed": ""}' if exit_code == 75 else "")
    assert any(kind == "DisruptionTarget" for kind, _ in run.conditions()) is disrupted


def test_a_preempted_pod_says_so_before_it_goes() -> None:
    run = Run(Script(ends=None, happens=((2.0, disruptions.preempted),)))
    assert seen(run.at(6.2)) == ("Failed", "node-1", 75)
    assert ("DisruptionTarget", "PreemptionByScheduler") in run.conditions()
    assert run.at(8) is None


def test_a_pod_of_a_node_that_is_deleted_stands_still_until_it_is_collected() -> None:
    run = Run(Script(ends=10.0, happens=((2.0, disruptions.node_deleted),)))
    assert seen(run.at(40)) == ("Running", "node-1", None)
    assert run.at(46) is None
    last = next(c.object for c in reversed(run.server.log.all) if c.resource.plural == "pods")
    assert (last["status"]["phase"], last["status"]["conditions"][-1]["reason"]) == ("Failed", "DeletionByPodGC")


def test_a_pod_of_a_lost_node_terminates_until_somebody_says_that_it_is_off() -> None:
    run = Run(Script(ends=10.0, happens=((2.0, disruptions.node_lost),)))
    run.at(400)
    assert ("DisruptionTarget", "DeletionByTaintManager") in run.conditions()
    assert run.at(1000) is not None
    run.nodes.put_out_of_service("node-1")
    assert run.at(1041) is None


def test_a_pod_that_was_never_scheduled_is_gone_at_once() -> None:
    run = Run(Script())
    run.server.delete(f"{PATH}/w")
    assert run.at(20) is None
