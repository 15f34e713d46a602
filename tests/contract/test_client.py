"""What cluster.client and cluster.reflector rely on, asked of the real API server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from batch_operator.cluster.client import Client, Identity, Object
from batch_operator.cluster.errors import AlreadyExists, Conflict, Forbidden, Gone, Invalid, NotFound, Unauthorized
from batch_operator.cluster.reflector import Reflector
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, NAMESPACES, PODS
from batch_operator.cluster.store import RecordStore
from batch_operator.cluster.tls_secret import ServingCertificate
from batch_operator.handlers.kopf_lists import NOTHING
from tests.cluster.connection import Connection

pytestmark = pytest.mark.contract


@dataclass(frozen=True, slots=True)
class Rec:
    uid: str
    namespace: str
    name: str
    resource_version: str
    value: str = ""


def decode(raw: Mapping[str, Any]) -> Rec:
    meta = raw["metadata"]
    value = (raw.get("data") or {}).get("value", "")
    return Rec(meta["uid"], meta["namespace"], meta["name"], meta["resourceVersion"], value)


def config_map(name: str, value: str = "1", **labels: str) -> Object:
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}


@pytest.fixture
def name() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def made(client: Client, namespace: str, name: str) -> Object:
    """A ConfigMap that exists."""
    return await client.create(CONFIG_MAPS.path(namespace), config_map(name))


class TestWrites:
    async def test_a_name_that_is_taken_is_already_exists(self, client: Client, namespace: str, made: Object) -> None:
        with pytest.raises(AlreadyExists, match="already exists"):
            await client.create(CONFIG_MAPS.path(namespace), config_map(made["metadata"]["name"]))

    async def test_a_stale_version_on_status_is_a_conflict(
        self, client: Client, namespace: str, name: str, crds: None
    ) -> None:
        spec = {"pipeline_type": "batch", "pipeline_key": "none", "inputs": {"worker.in": [{"file_id": "a.csv"}]}}
        job = {
            "apiVersion": "batch-operator.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": name},
            "spec": spec,
        }
        created = await client.create(BATCH_JOBS.path(namespace), job)
        path = BATCH_JOBS.path(namespace, name)
        version = created["metadata"]["resourceVersion"]
        first = await client.patch_status(
            path, {"metadata": {"resourceVersion": version}, "status": {"message": "one"}}
        )
        assert first["status"]["message"] == "one"
        with pytest.raises(Conflict, match="the object has been modified"):
            await client.patch_status(path, {"metadata": {"resourceVersion": version}, "status": {"message": "two"}})
        newest = {"resourceVersion": first["metadata"]["resourceVersion"]}
        cleared = await client.patch_status(path, {"metadata": newest, "status": {"message": None}})
        assert "message" not in cleared.get("status", {}), "null in a merge patch removes the key"
        await client.delete(path, uid=created["metadata"]["uid"])

    async def test_a_stale_version_in_an_update_is_a_conflict(
        self, client: Client, namespace: str, made: Object
    ) -> None:
        path = CONFIG_MAPS.path(namespace, made["metadata"]["name"])
        await client.update(path, made | {"data": {"value": "2"}})
        with pytest.raises(Conflict):
            await client.update(path, made | {"data": {"value": "3"}})

    async def test_delete_takes_only_the_object_with_that_uid(
        self, client: Client, namespace: str, made: Object
    ) -> None:
        path = CONFIG_MAPS.path(namespace, made["metadata"]["name"])
        with pytest.raises(Conflict, match="UID"):
            await client.delete(path, uid=str(uuid.uuid4()))
        with pytest.raises(Conflict, match="ResourceVersion"):
            await client.delete(path, uid=made["metadata"]["uid"], resource_version="1")
        await client.delete(path, uid=made["metadata"]["uid"])
        with pytest.raises(NotFound, match="not found"):
            await client.delete(path, uid=made["metadata"]["uid"])

    async def test_refusals_come_in_the_server_s_words(
        self, client: Client, cluster: Connection, namespace: str
    ) -> None:
        with pytest.raises(Invalid, match="Invalid value") as caught:
            await client.create(CONFIG_MAPS.path(namespace), config_map("Not_A_Name"))
        assert caught.value.details["causes"][0]["field"] == "metadata.name"
        container = {"name": "c", "image": "x", "securityContext": {"privileged": True}}
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
        with pytest.raises(Forbidden, match="violates PodSecurity"):
            await client.create(PODS.path(namespace), pod | {"apiVersion": "v1", "kind": "Pod"})

    async def test_a_wrong_token_is_unauthorized(self, client: Client, cluster: Connection) -> None:
        async with await Client.connect(cluster.kubeconfig) as stranger:
            configuration = stranger.credentials.configuration
            configuration.cert_file = configuration.key_file = None
            configuration.api_key["BearerToken"] = "Bearer e30.e30.e30"
            async with Client(stranger.credentials) as stranger_without_certificate:
                with pytest.raises(Unauthorized):
                    await stranger_without_certificate.get(NAMESPACES.path())


class TestReads:
    async def test_a_long_list_comes_in_pages(self, client: Client, namespace: str, name: str) -> None:
        for start in range(0, 1010, 101):
            objects = (config_map(f"{name}-{n}", group=name) for n in range(start, start + 101))
            await asyncio.gather(*(client.create(CONFIG_MAPS.path(namespace), obj) for obj in objects))
        verbs: list[str] = []
        client._on_request = lambda verb, *_: verbs.append(verb)
        listing = await client.list_as(CONFIG_MAPS.path(namespace), decode, {"labelSelector": f"group={name}"})
        assert len({record.uid for record in listing.items}) == 1010
        assert verbs == ["list", "list", "list"]
        assert int(listing.resource_version) >= max(int(record.resource_version) for record in listing.items)

    async def test_a_list_of_nothing_at_an_exact_version_is_of_that_version(
        self, client: Client, namespace: str, crds: None
    ) -> None:
        """What kopf's watches begin with (handlers.kopf_lists)."""
        before = await client.list(BATCH_JOBS.path())
        await client.create(CONFIG_MAPS.path(namespace), {"metadata": {"name": "later"}})
        exactly = {"resourceVersion": before.resource_version, "resourceVersionMatch": "Exact"}
        found = await client.list(BATCH_JOBS.path(), {"fieldSelector": NOTHING, **exactly})
        assert (found.items, found.resource_version) == ((), before.resource_version)

    async def test_a_watch_from_a_compacted_version_is_gone(self, client: Client, namespace: str, crds: None) -> None:
        # of our own kind: on a young server only its watch cache is sure to begin later than version 1
        async with aclosing(client.watch(BATCH_JOBS.path(namespace), {"resourceVersion": "1"})) as stream:
            with pytest.raises(Gone, match="too old resource version"):
                await asyncio.wait_for(anext(stream), 20)

    async def test_a_watch_ends_when_its_time_is_over(self, client: Client, namespace: str) -> None:
        listing = await client.list(CONFIG_MAPS.path(namespace))
        params: dict[str, str | int | bool] = {
            "resourceVersion": listing.resource_version,
            "timeoutSeconds": 1,
        }
        async with aclosing(client.watch(CONFIG_MAPS.path(namespace), params)) as stream:
            assert [event async for event in stream] == []


class Mirror:
    """A reflector of one namespace's ConfigMaps."""

    def __init__(self, client: Client, namespace: str, selector: str) -> None:
        self.changes: asyncio.Queue[tuple[Rec | None, Rec | None]] = asyncio.Queue()
        self.store: RecordStore[Rec] = RecordStore(lambda old, new: self.changes.put_nowait((old, new)))
        params = {"labelSelector": selector}
        self.reflector = Reflector(client, CONFIG_MAPS.path(namespace), decode, self.store, params=params)

    async def next(self) -> tuple[str, str]:
        old, new = await asyncio.wait_for(self.changes.get(), 20)
        return (old.value if old else "-", new.value if new else "-")


class TestReflector:
    @pytest.fixture
    async def mirror(self, client: Client, namespace: str, name: str) -> AsyncIterator[Mirror]:
        mirror = Mirror(client, namespace, f"mirror={name}")
        task = asyncio.create_task(mirror.reflector.run())
        await asyncio.wait_for(mirror.reflector.synced.wait(), 20)
        yield mirror
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_it_sees_what_happens(self, client: Client, namespace: str, name: str, mirror: Mirror) -> None:
        path = CONFIG_MAPS.path(namespace, name)
        made = await client.create(CONFIG_MAPS.path(namespace), config_map(name, "1", mirror=name))
        assert await mirror.next() == ("-", "1")
        changed = await client.patch_merge(path, {"data": {"value": "2"}})
        assert await mirror.next() == ("1", "2")
        assert mirror.store.resource_version == changed["metadata"]["resourceVersion"]
        await client.delete(path, uid=made["metadata"]["uid"])
        assert await mirror.next() == ("2", "-")
        assert mirror.reflector.trouble() is None

    async def test_an_answer_that_comes_after_the_end_brings_nothing_back(
        self, client: Client, namespace: str, name: str, mirror: Mirror
    ) -> None:
        made = await client.create(CONFIG_MAPS.path(namespace), config_map(name, "1", mirror=name))
        await mirror.next()
        await client.delete(CONFIG_MAPS.path(namespace, name), uid=made["metadata"]["uid"])
        await mirror.next()
        assert not mirror.store.observe(decode(made))
        assert len(mirror.store) == 0

    async def test_what_loses_its_label_goes_and_what_gets_it_back_comes(
        self, client: Client, namespace: str, name: str, mirror: Mirror
    ) -> None:
        path = CONFIG_MAPS.path(namespace, name)
        await client.create(CONFIG_MAPS.path(namespace), config_map(name, "1", mirror=name))
        assert await mirror.next() == ("-", "1")
        await client.patch_merge(path, {"metadata": {"labels": {"mirror": None}}})
        assert await mirror.next() == ("1", "-")
        await client.patch_merge(path, {"metadata": {"labels": {"mirror": name}}})
        assert await mirror.next() == ("-", "1")


async def test_the_operator_s_secret_is_filled_once_and_shared(client: Client, namespace: str, name: str) -> None:
    certificates = [ServingCertificate(client, namespace, name, ["progress.svc"]) for _ in range(3)]
    await asyncio.gather(*(certificate.load() for certificate in certificates))
    assert certificates[0].ca_certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert len({certificate.ca_certificate for certificate in certificates}) == 1


async def test_identities_of_a_collection_need_no_bodies(client: Client) -> None:
    whole = await client.list("/api/v1/namespaces")
    identities = await client.list_identities("/api/v1/namespaces")
    assert set(identities.items) == {Identity.of(item) for item in whole.items}
