"""A job handed over to Kueue, from its first pod to its end, on the fake API server with a Kueue by its documents."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, NAMESPACES
from tests.builders import make_pipeline_spec, make_spec
from tests.fakes import resource_types
from tests.fakes.api_server import path_of
from tests.fakes.kueue import COUNT, GROUP, QUEUE, SimulatedKueue
from tests.fakes.pod_scripts import PodPlace, Script, breaks, finishes, works
from tests.fakes.resource_types import PODS, Address, Object
from tests.fakes.world import World

Play = Callable[[PodPlace], Script]
TEP = "/apis/batch-operator.dev/v1alpha1/namespaces/team-a/batchjobs/tep"


class Cluster:
    """One world with Kueue and one job, labelled for LocalQueue gpu."""

    def __init__(self, play: Play, room: int = 64, spec: Any = None, **pipeline: Any) -> None:
        self.world = World(play)
        self.kueue = SimulatedKueue(self.world, room)
        self.server = self.world.server
        self.server.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
        definition = {"metadata": {"name": "classify"}, "spec": make_pipeline_spec(**pipeline)}
        self.server.create(CLUSTER_PIPELINES.path(), definition)
        job = {"metadata": {"name": "tep", "labels": {QUEUE: "gpu"}}, "spec": spec or make_spec()}
        self.server.create(BATCH_JOBS.path("team-a"), job)

    @property
    def status(self) -> Any:
        return self.server.get(TEP)["status"]

    def condition(self, kind: str) -> Any:
        return next(c for c in self.status["conditions"] if c["type"] == kind)

    def pods(self) -> list[Object]:
        items: list[Object] = self.server.list_page("/api/v1/pods")["items"]
        return items

    @property
    def states(self) -> list[str]:
        """The values of status.status on the way."""
        found: list[str] = []
        for commit in self.server.log.of(resource_types.BATCH_JOBS):
            state = (commit.object.get("status") or {}).get("status")
            if state and state != (found or [""])[-1]:
                found.append(state)
        return found

    def made(self) -> list[tuple[str, str]]:
        """(index-attempt, group) of every pod that was ever made; a single pod has no group."""
        found = []
        for commit in self.server.log.of(PODS):
            if commit.type == "ADDED":
                labels = commit.object["metadata"]["labels"]
                place = f"{labels['batch-operator.dev/index']}-{labels['batch-operator.dev/attempt']}"
                found.append((place, labels.get(GROUP, "")))
        return found


async def test_it_waits_behind_the_gate_without_a_start_timeout_and_then_runs() -> None:
    spec = make_spec(policy={"start_timeout_seconds": 30})
    cluster = Cluster(lambda place: finishes(place, 5.0), room=0, spec=spec)
    await cluster.world.run_until(300)
    group = cluster.kueue.waiting()[0]
    assert cluster.status["status"] == "PENDING"
    assert cluster.condition("Admitted")["status"] == "False"
    assert cluster.condition("Admitted")["reason"] == "HandedOver"
    assert cluster.status["message"] == (
        f"handed over to Kueue: waiting for its admission (LocalQueue gpu, Workload {group})"
    )
    assert "queue_position" not in cluster.status
    assert cluster.made() == [("0-0", group), ("1-0", group)]
    assert {pod["metadata"]["annotations"][COUNT] for pod in cluster.pods()} == {"2"}
    cluster.kueue.room = 2
    cluster.kueue.look_soon()
    await cluster.world.run_for(60)
    assert cluster.states == ["PENDING", "ADMITTED", "RUNNING", "COMPLETED"]
    assert not any(pod["metadata"].get("finalizers") for pod in cluster.pods())
    assert cluster.kueue.admitted == {}


async def test_a_wait_without_news_costs_nothing() -> None:
    cluster = Cluster(finishes, room=0)
    await cluster.world.run_until(60)
    version, requests = cluster.server.log.version, len(cluster.world.sent)
    await cluster.world.run_until(3000)
    assert (cluster.server.log.version, len(cluster.world.sent)) == (version, requests)


async def test_preempted_by_kueue_it_queues_again_as_a_new_group_and_the_old_pods_go() -> None:
    """Its pods end one after the other: what comes after them is a group all the same."""
    cluster = Cluster(
        lambda place: replace(finishes(place, 5.0 if place.attempt else 30.0), stop_seconds=1.0 + 5 * place.index)
    )
    await cluster.world.run_until(15)
    [first] = cluster.kueue.admitted
    cluster.kueue.room = 0
    cluster.kueue.preempt(first)
    await cluster.world.run_for(60)
    assert cluster.status["status"] == "PENDING"
    assert cluster.status["preemption_count"] == 2
    [second] = cluster.kueue.waiting()
    assert second != first
    assert cluster.made() == [("0-0", first), ("1-0", first), ("0-1", second), ("1-1", second)]
    assert len(cluster.pods()) == 2, "the old ones are gone: Kueue let them go"
    cluster.kueue.room = 2
    cluster.kueue.look_soon()
    await cluster.world.run_for(60)
    assert cluster.states == [
        "PENDING", "ADMITTED", "RUNNING", "PREEMPTED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED",
    ]  # fmt: skip


async def test_a_replacement_is_a_single_pod_and_queues_for_itself() -> None:
    cluster = Cluster(
        lambda place: breaks(3.0) if (place.index, place.attempt) == (0, 0) else finishes(place, 60.0), room=3
    )
    await cluster.world.run_until(40)
    [group, _single] = cluster.kueue.admitted
    assert cluster.made() == [("0-0", group), ("1-0", group), ("0-1", "")]
    await cluster.world.run_for(120)
    assert cluster.status["status"] == "COMPLETED"
    assert cluster.status["retry_count"] == 1
    assert cluster.kueue.admitted == {}
    assert not any(pod["metadata"].get("finalizers") for pod in cluster.pods())


async def test_a_job_whose_last_pod_waits_in_kueue_is_pending_again() -> None:
    spec = make_spec(parameters={"worker": {"parallelism": 1}})
    cluster = Cluster(lambda place: breaks(3.0) if place.attempt == 0 else finishes(place), spec=spec)
    await cluster.world.run_until(6)
    cluster.kueue.room = 0
    await cluster.world.run_for(60)
    assert cluster.status["status"] == "PENDING"
    assert cluster.condition("Running")["status"] == "False"
    assert "running_since" not in cluster.status["ledger"]
    assert cluster.made() == [("0-0", ""), ("0-1", "")]


@pytest.mark.parametrize(
    ("patch", "state"),
    [
        ({"metadata": {"annotations": {"batch-operator.dev/cancel-requested-at": "now"}}}, "CANCELLED"),
        ({"spec": {"suspend": True}}, "PENDING"),
    ],
    ids=["cancelled", "suspended"],
)
async def test_pods_that_never_left_the_gate_go_once_they_have_a_terminal_phase(patch: Object, state: str) -> None:
    cluster = Cluster(finishes, room=0)
    await cluster.world.run_until(30)
    assert len(cluster.kueue.waiting()) == 1
    cluster.server.patch(TEP, patch)
    await cluster.world.run_for(60)
    assert cluster.status["status"] == state
    assert cluster.kueue.waiting() == []
    assert cluster.pods() == []


async def test_a_job_that_is_deleted_while_it_waits_leaves_nothing() -> None:
    cluster = Cluster(finishes, room=0)
    await cluster.world.run_until(30)
    cluster.server.delete(TEP, actor="user")
    await cluster.world.run_for(60)
    assert cluster.pods() == []
    assert cluster.kueue.waiting() == []


async def test_a_pod_deleted_by_hand_behind_the_gate_is_made_again_with_its_group() -> None:
    cluster = Cluster(finishes, room=0)
    await cluster.world.run_until(30)
    [first] = cluster.kueue.waiting()
    for pod in cluster.pods():
        path = path_of(Address(PODS, "team-a", pod["metadata"]["name"]))
        cluster.server.delete(path, uid=pod["metadata"]["uid"], actor="user")
    await cluster.world.run_for(60)
    [second] = cluster.kueue.waiting()
    assert second != first
    assert len(cluster.pods()) == 2
    assert cluster.status["status"] == "PENDING"


async def test_a_lost_round_of_pods_that_depend_on_each_other_is_a_new_group() -> None:
    component = {"image": "example.org/train:1", "max_parallelism": 8, "restart_scope": "Job"}
    cluster = Cluster(
        lambda place: finishes(place, 5.0) if place.attempt else breaks(5.0) if place.index == 0 else works(place),
        components={"worker": component},
    )
    await cluster.world.run_for(120)
    assert cluster.status["status"] == "COMPLETED"
    groups = [group for _, group in cluster.made()]
    assert len(set(groups)) == 2
    assert all(groups)


async def test_without_the_label_nothing_is_handed_over() -> None:
    cluster = Cluster(finishes, room=0)
    job = {"metadata": {"name": "other"}, "spec": make_spec()}
    cluster.server.create(BATCH_JOBS.path("team-a"), job)
    await cluster.world.run_for(60)
    other = cluster.server.get(TEP.replace("tep", "other"))["status"]
    assert other["status"] == "COMPLETED"
