"""The writes of cluster.apply against the real API server: the four layers against a duplicate pod, and the rest."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.apply import apply
from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import Conflict, NotFound
from batch_operator.cluster.gather import job_snapshot
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, EVENTS, PODS
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.snapshot import RuleSettings
from tests.builders import NOW, make_pipeline, make_spec, reconcile

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds")]

RULES = RuleSettings(progress_url="https://127.0.0.1:1", ca_certificate="PEM")
NOWHERE = {"example.org/no-such-node": "true"}
"""Pods of these tests are never scheduled: nothing here is about containers."""


class World:
    """One job on the API server, and an operator's view of it."""

    def __init__(self, client: Client, job: BatchJob) -> None:
        self.client = client
        self.job = job
        self.seen = Observations()
        pipeline = make_pipeline(components={"worker": {"image": "example.org/x:1", "node_selector": NOWHERE}})
        self.seen.cluster_pipelines.apply("ADDED", pipeline)
        self.seen.jobs.apply("ADDED", job)

    async def plan(self) -> Plan:
        job = self.seen.jobs.get(self.job.uid)
        assert job is not None
        snapshot = await job_snapshot(self.client, self.seen, job, RULES, NOW, org_labels=False)
        return reconcile(job, snapshot, NOW)

    async def apply(self, plan: Plan) -> bool:
        job = self.seen.jobs.get(self.job.uid)
        assert job is not None
        return await apply(self.client, self.seen, job, plan, NOW, "test")

    async def pods(self) -> list[dict[str, Any]]:
        return list((await self.client.list(PODS.path(self.job.namespace))).items)

    def restarted(self) -> "World":
        """The same job seen by an operator that has just started."""
        return World(self.client, self.job)

    async def up_to_date(self) -> "World":
        """Likewise, with the job as it is now."""
        world = self.restarted()
        path = BATCH_JOBS.path(self.job.namespace, self.job.name)
        world.seen.jobs.apply("ADDED", decode_job(await self.client.get(path)))
        return world


@pytest.fixture
async def world(client: Client, make_namespace: Callable[[], str]) -> World:
    return await new_world(client, make_namespace(), make_spec())


async def new_world(client: Client, namespace: str, spec: dict[str, Any]) -> World:
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": "tep", "namespace": namespace},
        "spec": spec,
    }
    return World(client, decode_job(await client.create(BATCH_JOBS.path(namespace), manifest)))


async def test_first_pass_writes_status_configmap_and_pods(world: World) -> None:
    assert not await world.apply(await world.plan())
    stored = await world.client.get(BATCH_JOBS.path(world.job.namespace, "tep"))
    assert stored["status"]["status"] == "ADMITTED"
    assert [pod["metadata"]["annotations"][names.INPUTS_ANNOTATION] for pod in await world.pods()] == ["0-1", "2-3"]
    assert (await world.plan()).status is None, "the view holds what was written: nothing is written twice"


async def test_a_stale_job_writes_no_status_and_makes_no_pod(world: World) -> None:
    plan = await world.plan()
    path = BATCH_JOBS.path(world.job.namespace, "tep")
    await world.client.patch_merge(path, {"metadata": {"labels": {"touched": "true"}}})
    with pytest.raises(Conflict):
        await world.apply(plan)
    assert await world.pods() == []


async def test_a_configmap_that_was_made_beside_a_refused_status_is_not_used(world: World) -> None:
    plan = await world.plan()
    path = BATCH_JOBS.path(world.job.namespace, "tep")
    await world.client.patch_merge(path, {"metadata": {"labels": {"touched": "true"}}})
    with pytest.raises(Conflict):
        await world.apply(plan)
    assert plan.configmap is not None
    stored = CONFIG_MAPS.path(world.job.namespace, plan.configmap["metadata"]["name"])
    assert (await world.client.get(stored))["binaryData"] == plan.configmap["binaryData"]

    later = await world.up_to_date()
    newer = make_pipeline(components={"worker": {"image": "example.org/x:2", "node_selector": NOWHERE}})
    later.seen.cluster_pipelines.apply("MODIFIED", replace(newer, resource_version="900"))
    other = await later.plan()
    assert other.configmap is not None
    assert other.configmap["binaryData"] != plan.configmap["binaryData"]
    assert not await later.apply(other)
    assert (await world.client.get(stored))["binaryData"] == other.configmap["binaryData"]
    assert {pod["spec"]["containers"][0]["image"] for pod in await world.pods()} == {"example.org/x:2"}


async def test_a_deleted_job_makes_no_pod(world: World) -> None:
    plan = await world.plan()
    await world.client.delete(BATCH_JOBS.path(world.job.namespace, "tep"), uid=world.job.uid)
    with pytest.raises(NotFound):
        await world.apply(plan)
    assert await world.pods() == []


async def test_a_crash_after_the_status_write_is_made_good_by_the_next_operator(world: World) -> None:
    plan = await world.plan()
    await world.apply(replace(plan, configmap=None, job_file=None, pods=()))
    again = await world.up_to_date()
    second = await again.plan()
    assert second.status is None
    assert second.job_file == plan.job_file
    await again.apply(second)
    assert len(await world.pods()) == 2


async def test_a_pod_that_is_there_already_is_adopted_not_doubled(world: World) -> None:
    plan = await world.plan()
    await world.apply(plan)
    before = {pod["metadata"]["uid"] for pod in await world.pods()}
    blind = await world.up_to_date()
    await blind.apply(replace(plan, status=None, event=None))
    assert {pod["metadata"]["uid"] for pod in await world.pods()} == before
    assert {record.uid for record in blind.seen.pods.values()} == before


async def test_nothing_is_made_on_an_old_view_of_the_job(world: World) -> None:
    plan = await world.plan()
    await world.apply(replace(plan, configmap=None, job_file=None, pods=()))
    blind = world.restarted()
    with pytest.raises(Conflict, match="has moved on since it was read"):
        await blind.apply(replace(plan, status=None, event=None))
    assert await world.pods() == []


async def test_a_name_that_is_taken_by_a_stranger_is_said(world: World) -> None:
    plan = await world.plan()
    stranger = {**plan.pods[0], "metadata": {**plan.pods[0]["metadata"], "ownerReferences": []}}
    await world.client.create(PODS.path(world.job.namespace), stranger)
    assert await world.apply(plan), "a refused child: look again"
    again = await world.plan()
    assert again.status is not None
    assert "exists and is not this job's" in (again.status.message or "")


async def test_a_replaced_configmap_is_never_used(world: World) -> None:
    plan = await world.plan()
    await world.apply(plan)
    assert plan.configmap is not None
    name = plan.configmap["metadata"]["name"]
    path = CONFIG_MAPS.path(world.job.namespace, name)
    await world.client.delete(path, uid=(await world.client.get(path))["metadata"]["uid"])
    evil = {**plan.configmap, "binaryData": {names.JOB_FILE_KEY: base64.b64encode(b"evil").decode()}}
    await world.client.create(CONFIG_MAPS.path(world.job.namespace), evil)

    again = world.restarted()
    again.seen.jobs.apply("ADDED", decode_job(await world.client.get(BATCH_JOBS.path(world.job.namespace, "tep"))))
    await again.apply(await again.plan())
    stored = await world.client.get(path)
    assert stored["binaryData"] == plan.configmap["binaryData"]


async def test_deleting_the_job_removes_its_children_without_any_operator(world: World) -> None:
    await world.apply(await world.plan())
    await world.client.delete(BATCH_JOBS.path(world.job.namespace, "tep"), uid=world.job.uid)

    async def children() -> int:
        maps = await world.client.list(CONFIG_MAPS.path(world.job.namespace), {"labelSelector": names.POD_SELECTOR})
        return len(await world.pods()) + len(maps.items)

    async with asyncio.timeout(30):
        while await children():
            await asyncio.sleep(0.2)


async def test_deletes_carry_the_uid(world: World) -> None:
    await world.apply(await world.plan())
    (pod, other) = await world.pods()
    wrong = PodDelete(pod["metadata"]["name"], other["metadata"]["uid"], 0)
    right = PodDelete(other["metadata"]["name"], other["metadata"]["uid"], 0)
    await world.apply(Plan("Stopping", deletes=(wrong, right)))
    assert [p["metadata"]["uid"] for p in await world.pods()] == [pod["metadata"]["uid"]]


async def test_an_event_is_written_once(world: World) -> None:
    plan = await world.plan()
    told = Plan("Completed", event=Event("Normal", "Completed", "completed: 4 of 4 inputs"))
    await world.apply(plan)
    await world.apply(told)
    await world.apply(told)
    events = (await world.client.list(EVENTS.path(world.job.namespace))).items
    assert [event["note"] for event in events if event["regarding"]["kind"] == "BatchJob"] == [
        "completed: 4 of 4 inputs"
    ]


class TestRefusals:
    async def test_a_quota_is_remembered_and_the_job_waits(self, world: World) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        }
        await world.client.create(f"/api/v1/namespaces/{world.job.namespace}/resourcequotas", quota)
        async with asyncio.timeout(20):  # the quota counts once its controller has seen it
            while "used" not in (
                await world.client.get(f"/api/v1/namespaces/{world.job.namespace}/resourcequotas/none")
            ).get("status", {}):
                await asyncio.sleep(0.1)
        assert await world.apply(await world.plan()), "a refused child: look again"
        plan = await world.plan()
        assert plan.status is not None
        assert plan.status.status == "PENDING"
        assert plan.requeue_after is not None
        await world.apply(plan)
        assert "exceeded quota: none" in (plan.status.message or "")

    async def test_pod_security_stalls_with_the_servers_words(self, world: World) -> None:
        plan = await world.plan()
        bad = {**plan.pods[0], "spec": {**plan.pods[0]["spec"], "hostNetwork": True}}
        assert await world.apply(replace(plan, pods=(bad,)))
        again = await world.plan()
        assert again.status is not None
        assert "violates PodSecurity" in (again.status.message or "")


async def test_ten_thousand_files(client: Client, make_namespace: Callable[[], str]) -> None:
    many = [{"file_id": f"plant/line-{n % 7}/sensor_{n:05}.csv"} for n in range(9_998)]
    inputs = make_spec()["inputs"] | {"worker.inference": many}
    world = await new_world(client, make_namespace(), make_spec(inputs=inputs))
    plan = await world.plan()
    await world.apply(plan)
    assert plan.configmap is not None
    stored = await client.get(CONFIG_MAPS.path(world.job.namespace, plan.configmap["metadata"]["name"]))
    assert len(stored["binaryData"][names.JOB_FILE_KEY]) < 200_000
    assert [pod["metadata"]["annotations"][names.INPUTS_ANNOTATION] for pod in await world.pods()] == [
        "0-4998",
        "4999-9997",
    ]
