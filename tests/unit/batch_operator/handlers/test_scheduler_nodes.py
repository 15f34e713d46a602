"""A Queue that looks at the nodes: which records of nodes and pods tell the scheduler where there is room."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.handlers.keys import Chore
from batch_operator.scheduling.words import words
from batch_operator.snapshot import NodeRecord
from tests.builders import GPU, pod_of
from tests.unit.batch_operator.handlers.queue_scene import Scene

HALF = {"ledger": {"components": {"worker": {"parallelism": 1}}}}


@pytest.fixture
async def scene() -> Scene:
    made = Scene(8, require_matching_node=True)
    for name in "ab":
        node(made, name, 2)
    return made


def node(scene: Scene, name: str, gpus: int, **changes: Any) -> None:
    amounts = ((GPU, gpus * 1000), ("pods", 110_000))
    known = scene.seen.nodes.get(name)
    version = int(known.resource_version) + 1 if known else 1
    record = NodeRecord(name, name, str(version), ready=True, out_of_service=False, allocatable=amounts)
    scene.seen.nodes.apply("MODIFIED", replace(record, **changes))


def pair(gpus: int = 2) -> dict[str, Any]:
    """One pod of two GPUs."""
    return {"admission": {"pods": {"worker": {"count": 1, "requests": {GPU: str(gpus)}}}}, **HALF}


async def test_a_job_that_fits_the_quota_but_no_node_waits(scene: Scene) -> None:
    for name in "ab":
        job = scene.holds(f"on-{name}", 1)
        scene.seen.pods.apply("ADDED", pod_of(job, node=name))
    scene.waits("pair", **pair())
    decided = scene.cycle()
    assert scene.granted == set()
    assert words(decided.pending["pair"]) == "no room on the nodes: a pod of 2 nvidia.com/gpu, 2 free on 2 nodes"
    scene.ends("on-a")
    scene.seen.pods.apply("DELETED", replace(pod_of(scene.holds("on-b", 1)), uid="on-a-0", resource_version="900"))
    scene.cycle()
    assert scene.granted == {"pair"}


async def test_where_a_pod_is_counts_from_its_binding_on(scene: Scene) -> None:
    """Until then it is thought to be on the fullest node: on a."""
    job = scene.holds("one", 1)
    scene.seen.pods.apply("ADDED", pod_of(job, phase="Pending", node=""))
    other = scene.holds("two", 1)
    scene.seen.pods.apply("ADDED", pod_of(other, phase="Pending", node=""))
    scene.waits("pair", **pair())
    scene.cycle()
    assert scene.granted == {"pair"}
    scene.waits("pair", suspend=True, **pair())
    scene.cycle()
    await scene.to_do()
    scene.seen.pods.apply("MODIFIED", pod_of(job, node="a", resource_version="201"))
    scene.seen.pods.apply("MODIFIED", pod_of(other, node="b", resource_version="201"))
    assert Chore.SCHEDULE in await scene.to_do()
    scene.waits("pair", **pair())
    scene.cycle()
    assert scene.granted == set()


async def test_what_was_granted_takes_its_room(scene: Scene) -> None:
    for name in ("p", "q", "r"):
        scene.waits(name, **pair())
    scene.cycle()
    scene.cycle()
    assert scene.granted == {"p", "q"}


@pytest.mark.parametrize(
    "changes",
    [{"ready": False}, {"takes_pods": False}, {"out_of_service": True}],
    ids=["not ready", "cordoned", "out of service"],
)
async def test_a_node_that_takes_no_pods_has_no_room(scene: Scene, changes: dict[str, Any]) -> None:
    node(scene, "a", 2, **changes)
    node(scene, "b", 1)
    scene.waits("pair", **pair())
    scene.cycle()
    assert scene.granted == set()
    await scene.to_do()
    node(scene, "a", 2)
    assert Chore.SCHEDULE in await scene.to_do()
    scene.cycle()
    assert scene.granted == {"pair"}


async def test_nobody_is_woken_for_a_binding_where_no_queue_looks() -> None:
    scene = Scene(8)
    job = scene.holds("one", 1)
    scene.seen.pods.apply("ADDED", pod_of(job, phase="Pending", node=""))
    scene.cycle()
    await scene.to_do()
    scene.seen.pods.apply("MODIFIED", pod_of(job, node="a", resource_version="201"))
    assert await scene.to_do() == []
