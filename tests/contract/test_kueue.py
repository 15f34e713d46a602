"""A job handed over to Kueue on the real API server, scheduler and PodGC; Kueue's own part is played here by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.apply import apply
from batch_operator.cluster.client import Client
from batch_operator.cluster.gather import job_snapshot
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, PODS
from batch_operator.reconcile.plan import Plan
from batch_operator.snapshot import RuleSettings, decode_pod
from tests.builders import NOW, make_pipeline, make_spec, reconcile
from tests.cluster.connection import Connection
from tests.fakes import kueue_webhook

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds"), pytest.mark.timeout(120)]

FAKE_NODES = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]


class World:
    """One job with Kueue's label, and an operator whose view is read anew before each pass."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.seen = Observations()
        worker = {"image": "example.org/x:1", "tolerations": FAKE_NODES, "node_selector": {"type": "kwok"}}
        self.seen.cluster_pipelines.apply("ADDED", make_pipeline(components={"worker": worker}))

    @property
    def path(self) -> str:
        return BATCH_JOBS.path(self.namespace, "tep")

    async def apply(self) -> None:
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": "BatchJob",
            "metadata": {"name": "tep", "labels": {kueue_webhook.QUEUE: "gpu"}},
            "spec": make_spec(),
        }
        await self.client.create(BATCH_JOBS.path(self.namespace), manifest)

    async def passes(self) -> Plan:
        raw = await self.client.get(self.path)
        self.seen.jobs.apply("MODIFIED", decode_job(raw))
        listed = {pod["metadata"]["uid"]: decode_pod(pod) for pod in await self.pods()}
        for pod in [*listed.values(), *self.seen.pods.values()]:
            self.seen.pods.apply("MODIFIED" if pod.uid in listed else "DELETED", listed.get(pod.uid, pod))
        job = self.seen.jobs.get(raw["metadata"]["uid"])
        assert job is not None
        snapshot = await job_snapshot(self.client, self.seen, job, RuleSettings(), NOW, org_labels=False)
        plan = reconcile(job, snapshot, NOW)
        await apply(self.client, self.seen, job, plan, NOW, "test")
        return plan

    async def status(self) -> Any:
        return (await self.client.get(self.path))["status"]

    async def pods(self) -> list[dict[str, Any]]:
        return list((await self.client.list(PODS.path(self.namespace))).items)

    async def patch_all(self, patch: dict[str, Any]) -> None:
        for pod in await self.pods():
            await self.client.patch_merge(PODS.path(self.namespace, pod["metadata"]["name"]), patch)

    async def state_after_passes(self) -> str:
        await self.passes()
        return str((await self.status())["status"])


async def until(holds: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    for _ in range(int(seconds / 0.5)):
        if await holds():
            return
        await asyncio.sleep(0.5)
    pytest.fail(f"{what}: not so after {seconds:.0f} s")


@pytest.fixture
async def world(cluster: Connection, client: Client, make_namespace: Callable[[], str]) -> AsyncIterator[World]:
    if cluster.kind != "local":
        pytest.skip("needs an API server on this machine, which can ask a webhook on loopback")
    made = World(client, make_namespace())
    with kueue_webhook.gates_pods_of(cluster.client(), made.namespace):
        await made.apply()
        yield made
        await made.patch_all({"metadata": {"finalizers": None}})


async def test_it_waits_behind_the_gate_and_runs_once_that_is_gone(world: World) -> None:
    assert await world.state_after_passes() == "PENDING"
    pods = await world.pods()
    assert [pod["spec"]["schedulingGates"] for pod in pods] == [[{"name": kueue_webhook.GATE}]] * 2
    assert len({pod["metadata"]["labels"]["kueue.x-k8s.io/pod-group-name"] for pod in pods}) == 1
    for _ in range(3):
        assert await world.state_after_passes() == "PENDING"
    admitted = next(c for c in (await world.status())["conditions"] if c["type"] == "Admitted")
    assert (admitted["status"], admitted["reason"]) == ("False", "HandedOver")
    await world.patch_all({"spec": {"schedulingGates": None}})

    async def runs() -> bool:
        return await world.state_after_passes() == "RUNNING"

    await until(runs, 30, "the job runs on the scheduler's nodes")


async def test_podgc_ends_pods_that_are_deleted_behind_the_gate_and_the_job_is_cancelled(world: World) -> None:
    """Each pod of the group then has a terminal phase: Kueue lets go of one that is not retriable."""
    await world.passes()
    await world.passes()
    await world.client.patch_merge(world.path, {"metadata": {"annotations": {names.CANCEL_ANNOTATION: "now"}}})
    await world.passes()
    pods = await world.pods()
    assert all("deletionTimestamp" in pod["metadata"] for pod in pods)
    assert len(pods) == 2

    async def all_failed() -> bool:
        return {pod["status"]["phase"] for pod in await world.pods()} == {"Failed"}

    await until(all_failed, 60, "PodGC gives them a terminal phase")
    assert await world.state_after_passes() == "CANCELLED"
    assert len(await world.pods()) == 2, "the finalizer keeps them"
    await world.patch_all({"metadata": {"finalizers": None}})
    assert await world.pods() == []
