"""Scheduling gates and finalizers of pods on both servers: what Kueue's hold on a pod is made of."""

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import NotFound
from batch_operator.cluster.resource_paths import PODS
from tests.fakes.either_server import Server, pod

GATE, FINALIZER = "kueue.x-k8s.io/admission", "kueue.x-k8s.io/managed"


async def gated_pod(server: Server, name: str) -> Object:
    manifest = pod(name, finalizers=[FINALIZER])
    manifest["spec"]["schedulingGates"] = [{"name": GATE}]
    return await server.client.create(server.path(PODS), manifest)


def scheduled(found: Object) -> list[tuple[str, str, str]]:
    conditions = found["status"].get("conditions") or ()
    return [(c["status"], c["reason"], c["message"]) for c in conditions if c["type"] == "PodScheduled"]


async def let_go(server: Server, name: str) -> None:
    path = server.path(PODS, name)
    await server.client.patch_merge(path, {"metadata": {"finalizers": None}})
    found = await server.client.get(path)
    await server.client.delete(path, uid=found["metadata"]["uid"], grace_seconds=0)


async def test_a_gated_pod_says_so_from_the_first(server: Server, name: str) -> None:
    made = await gated_pod(server, name)
    words = "Scheduling is blocked due to non-empty scheduling gates"
    assert scheduled(made) == [("False", "SchedulingGated", words)]
    assert made["status"]["phase"] == "Pending"
    await let_go(server, name)


async def test_its_gate_is_taken_away_by_a_patch(server: Server, name: str) -> None:
    await gated_pod(server, name)
    free = await server.client.patch_merge(server.path(PODS, name), {"spec": {"schedulingGates": None}})
    assert not free["spec"].get("schedulingGates")
    await let_go(server, name)


async def test_deleted_behind_its_gate_it_stays_until_its_finalizer_goes(server: Server, name: str) -> None:
    path = server.path(PODS, name)
    made = await gated_pod(server, name)
    await server.client.delete(path, uid=made["metadata"]["uid"], grace_seconds=30)
    found = await server.client.get(path)
    assert found["metadata"]["deletionGracePeriodSeconds"] == 0, "no node can be running it"
    assert found["metadata"]["finalizers"] == [FINALIZER]
    await server.client.patch_merge(path, {"metadata": {"finalizers": None}})
    try:
        await server.client.get(path)
    except NotFound:
        return
    raise AssertionError("it is still there")
