"""The eviction API on both servers: what `kubectl drain` does to a pod, and the one 429 that can be forced."""

import pytest

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import TooManyRequests
from batch_operator.cluster.resource_paths import PODS
from tests.fakes.either_server import Server, pod


async def running_pod(server: Server, name: str) -> str:
    """Its path. It is bound to a node that does not exist, so that its status stays as it is written here."""
    await server.client.create(server.path(PODS), pod(name, node="no-such-node", labels={"group": name}))
    path = server.path(PODS, name)
    await server.client.patch_merge(f"{path}/status", {"status": {"phase": "Running"}})
    return path


def eviction(name: str) -> Object:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}


async def test_an_evicted_pod_is_marked_and_then_deleted(server: Server, name: str) -> None:
    path = await running_pod(server, name)
    await server.client.create(f"{path}/eviction", eviction(name))
    found = await server.client.get(path)
    marks = [c for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert [(mark["status"], mark["reason"]) for mark in marks] == [("True", "EvictionByEvictionAPI")]
    assert found["metadata"]["deletionGracePeriodSeconds"] == 20
    await server.client.delete(path, uid=found["metadata"]["uid"], grace_seconds=0)


async def test_a_disruption_budget_holds_an_eviction_back(server: Server, name: str) -> None:
    path = await running_pod(server, name)
    budgets = f"/apis/policy/v1/namespaces/{server.namespace}/poddisruptionbudgets"
    budget = await server.client.create(
        budgets,
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"group": name}}},
        },
    )
    with pytest.raises(TooManyRequests) as caught:
        await server.client.create(f"{path}/eviction", eviction(name))
    assert (caught.value.status, caught.value.reason) == (429, "TooManyRequests")
    found = await server.client.get(path)
    assert "deletionTimestamp" not in found["metadata"]
    await server.client.delete(f"{budgets}/{name}", uid=budget["metadata"]["uid"])
    await server.client.delete(path, uid=found["metadata"]["uid"], grace_seconds=0)
