"""A pod's life as the driver plays it, read as the operator reads it."""

from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.cluster.resource_paths import NAMESPACES, PODS
from batch_operator.snapshot import PodRecord, decode_pod
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.pods import PodDriver, Script, report

PATH = PODS.path("team-a")


class Run:
    """One pod on a fresh server."""

    def __init__(self, script: Script) -> None:
        self.server = FakeAPIServer()
        self.reports: list[tuple[float, Any]] = []
        PodDriver(self.server, lambda _: script, lambda _, body: self.reports.append((self.server.clock.time(), body)))
        self.server.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
        labels = {names.COMPONENT_LABEL: "worker", names.INDEX_LABEL: "0", names.ATTEMPT_LABEL: "0"}
        meta = {"name": "w", "labels": labels, "annotations": {names.INPUTS_ANNOTATION: "0-1"}}
        spec = {"containers": [{"name": "worker", "image": "x"}], "terminationGracePeriodSeconds": 30}
        self.server.create(PATH, {"metadata": meta, "spec": spec})

    def at(self, second: float) -> PodRecord | None:
        self.server.clock.advance_to(second)
        items = self.server.list_page(PATH)["items"]
        return decode_pod(items[0]) if items else None


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


def test_a_pod_that_was_never_scheduled_is_gone_at_once() -> None:
    run = Run(Script())
    run.server.delete(f"{PATH}/w")
    assert run.at(20) is None
