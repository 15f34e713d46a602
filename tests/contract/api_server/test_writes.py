"""What the operator takes for granted of an API server, asked alike of the fake one and of the real one.

The fake (tests.fakes.api_server) is only worth what these cases say: whatever the operator relies on and the fault
tests use must stand here, and hold on both.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotServed,
)
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PODS, QUEUES
from tests.fakes.either_server import (
    Server,
    batch_job,
    config_map,
    pod,
    version,
)


class TestIdentity:
    async def test_a_new_object_gets_uid_version_time_and_generation(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        meta = made["metadata"]
        assert uuid.UUID(meta["uid"])
        assert version(made) > 0
        assert meta["creationTimestamp"].endswith("Z")
        assert meta["generation"] == 1
        assert meta["namespace"] == server.namespace
        assert await server.client.get(server.path(BATCH_JOBS, name)) == made

    async def test_a_job_that_names_no_queue_is_in_the_default_one(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        assert made["spec"]["queue"] == "default"
        other = await server.client.create(server.path(BATCH_JOBS), batch_job(f"{name}-2", queue="gpu"))
        assert other["spec"]["queue"] == "gpu"
        back = await server.client.patch_merge(server.path(BATCH_JOBS, f"{name}-2"), {"spec": {"queue": None}})
        assert back["spec"]["queue"] == "default"

    async def test_a_queue_has_no_namespace_and_its_status_apart(self, server: Server, name: str) -> None:
        manifest = {
            "apiVersion": "batch-operator.dev/v1alpha1",
            "kind": "Queue",
            "metadata": {"name": name},
            "spec": {"quota": {"pods": "2"}},
            "status": {"pending": 7},
        }
        made = await server.client.create(QUEUES.path(), manifest)
        try:
            assert "namespace" not in made["metadata"]
            assert "status" not in made
            path = QUEUES.path(name=name)
            told = await server.client.patch_status(path, {"status": {"pending": 1}, "spec": {"quota": {"pods": "9"}}})
            assert (told["status"], told["spec"]) == ({"pending": 1}, {"quota": {"pods": "2"}})
            assert told["metadata"]["generation"] == 1
            edited = await server.client.patch_merge(path, {"spec": {"quota": {"pods": "9"}}})
            assert (edited["metadata"]["generation"], edited["status"]) == (2, {"pending": 1})
        finally:
            await server.client.delete(QUEUES.path(name=name), uid=made["metadata"]["uid"])

    async def test_a_name_made_again_is_another_object(self, server: Server, name: str) -> None:
        path = server.path(CONFIG_MAPS, name)
        first = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        await server.client.delete(path, uid=first["metadata"]["uid"])
        second = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        assert first["metadata"]["uid"] != second["metadata"]["uid"]
        assert version(second) > version(first)

    async def test_versions_grow_over_all_kinds(self, server: Server, name: str) -> None:
        versions = [version(await server.client.create(server.path(CONFIG_MAPS), config_map(name)))]
        versions.append(version(await server.client.create(server.path(PODS), pod(name))))
        versions.append(
            version(await server.client.patch_merge(server.path(CONFIG_MAPS, name), {"data": {"value": "2"}}))
        )
        listing = await server.client.list(server.path(PODS))
        assert versions == sorted(set(versions))
        assert int(listing.resource_version) >= versions[-1]


class TestCreate:
    async def test_a_name_that_is_taken(self, server: Server, name: str) -> None:
        await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        with pytest.raises(AlreadyExists, match=f'configmaps "{name}" already exists') as caught:
            await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        assert caught.value.status == 409

    async def test_status_cannot_be_given(self, server: Server, name: str) -> None:
        made = await server.client.create(
            server.path(BATCH_JOBS), batch_job(name) | {"status": {"status": "COMPLETED"}}
        )
        assert "status" not in made
        running = await server.client.create(server.path(PODS), pod(name) | {"status": {"phase": "Running"}})
        assert running["status"]["phase"] == "Pending"

    @pytest.mark.parametrize(
        ("resource", "obj", "words"),
        [
            (BATCH_JOBS, batch_job("x", pipeline_key=None), "spec.pipeline_key: Required value"),
            (BATCH_JOBS, batch_job("x", pipeline_type=None), "spec.pipeline_type: Required value"),
            (CONFIG_MAPS, config_map("Not_A_Name"), "metadata.name: Invalid value"),
            (CONFIG_MAPS, config_map(""), "name or generateName is required"),
            (PODS, pod("x") | {"spec": {"containers": []}}, "spec.containers: Required value"),
        ],
        ids=["no pipeline_key", "no pipeline_type", "bad name", "no name", "no containers"],
    )
    async def test_what_is_incomplete_is_invalid(self, server: Server, resource: Any, obj: Object, words: str) -> None:
        with pytest.raises(Invalid, match=words) as caught:
            await server.client.create(server.path(resource), obj)
        assert caught.value.status == 422

    async def test_a_namespace_that_is_not_there(self, server: Server, name: str) -> None:
        with pytest.raises(NotFound, match=r'namespaces "no-such-namespace" not found'):
            await server.client.create(CONFIG_MAPS.path("no-such-namespace"), config_map(name))

    async def test_a_quota_forbids_a_pod(self, server: Server, name: str) -> None:
        quotas = f"/api/v1/namespaces/{server.namespace}/resourcequotas"
        quota = await server.client.create(
            quotas,
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": name},
                "spec": {"hard": {"pods": "0"}},
            },
        )

        async def make_pods() -> None:
            while True:
                made = await server.client.create(server.path(PODS), pod(f"q-{uuid.uuid4().hex[:8]}"))
                path = server.path(PODS, made["metadata"]["name"])
                await server.client.delete(path, uid=made["metadata"]["uid"])

        words = f"exceeded quota: {name}, requested: pods=1, used: pods="
        with pytest.raises(Forbidden, match=words) as caught:  # the real one once its controller has seen the quota
            await asyncio.wait_for(make_pods(), 20)
        assert caught.value.status == 403
        await server.client.delete(f"{quotas}/{name}", uid=quota["metadata"]["uid"])


class TestChange:
    async def test_a_stale_version_in_a_status_patch(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        path = server.path(BATCH_JOBS, name)
        stale = {"resourceVersion": made["metadata"]["resourceVersion"]}
        first = await server.client.patch_status(path, {"metadata": stale, "status": {"message": "one"}})
        with pytest.raises(Conflict, match="the object has been modified"):
            await server.client.patch_status(path, {"metadata": stale, "status": {"message": "two"}})
        assert (await server.client.get(path)) == first

    async def test_a_merge_patch_merges_objects_replaces_lists_and_removes_nulls(
        self, server: Server, name: str
    ) -> None:
        await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        path = server.path(BATCH_JOBS, name)
        one = {"message": "one", "input_progress": {"pending": 1, "failed": 0}, "parameters": {"a": [1, 2]}}
        await server.client.patch_status(path, {"status": one})
        two = {"message": None, "input_progress": {"pending": 0}, "parameters": {"a": [3]}}
        after = (await server.client.patch_status(path, {"status": two}))["status"]
        assert "message" not in after
        assert (after["input_progress"]["pending"], after["input_progress"]["failed"]) == (0, 0)
        assert after["parameters"] == {"a": [3]}

    async def test_status_and_the_rest_go_by_different_paths(self, server: Server, name: str) -> None:
        await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        path = server.path(BATCH_JOBS, name)
        changed = {"spec": {"policy": {"fail_fast": True}}, "status": {"message": "no"}}
        spec = await server.client.patch_merge(path, changed)
        assert "message" not in spec.get("status", {})
        status = await server.client.patch_status(path, {"spec": {"policy": None}, "status": {"message": "yes"}})
        assert status["spec"]["policy"] == {"fail_fast": True}
        assert status["status"]["message"] == "yes"

    async def test_only_the_spec_moves_the_generation(self, server: Server, name: str) -> None:
        await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        path = server.path(BATCH_JOBS, name)
        patches: list[tuple[str, Object]] = [
            (f"{path}/status", {"status": {"message": "one"}}),
            (path, {"metadata": {"labels": {"a": "b"}}}),
            (path, {"spec": {"policy": {"fail_fast": True}}}),
        ]
        seen = [(await server.client.patch_merge(where, patch))["metadata"]["generation"] for where, patch in patches]
        assert seen == [1, 1, 2]

    async def test_what_changes_nothing_is_no_write(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        same = await server.client.patch_merge(server.path(CONFIG_MAPS, name), {"data": {"value": "1"}})
        assert version(same) == version(made)

    async def test_a_stale_version_in_an_update(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        path = server.path(CONFIG_MAPS, name)
        await server.client.update(path, made | {"data": {"value": "2"}})
        with pytest.raises(Conflict):
            await server.client.update(path, made | {"data": {"value": "3"}})

    async def test_an_immutable_config_map_stays_as_it_is(self, server: Server, name: str) -> None:
        await server.client.create(server.path(CONFIG_MAPS), config_map(name) | {"immutable": True})
        with pytest.raises(Invalid, match="immutable"):
            await server.client.patch_merge(server.path(CONFIG_MAPS, name), {"data": {"value": "2"}})

    async def test_a_frozen_field_of_a_job_stays_as_it_is(self, server: Server, name: str) -> None:
        await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        with pytest.raises(Invalid, match="pipeline_key"):
            await server.client.patch_merge(server.path(BATCH_JOBS, name), {"spec": {"pipeline_key": "other"}})

    async def test_nothing_is_found_where_nothing_is(self, server: Server, name: str) -> None:
        path = server.path(BATCH_JOBS, name)
        words = f'batchjobs.batch-operator.dev "{name}" not found'
        asked: list[Callable[[], Awaitable[Object]]] = [
            lambda: server.client.get(path),
            lambda: server.client.patch_status(path, {"status": {"message": "x"}}),
            lambda: server.client.delete(path, uid=str(uuid.uuid4())),
        ]
        for ask in asked:
            with pytest.raises(NotFound, match=words):
                await ask()
        with pytest.raises(NotServed):
            await server.client.get(f"/apis/batch-operator.dev/v1alpha1/namespaces/{server.namespace}/nothings")


class TestDelete:
    async def test_it_takes_only_what_the_preconditions_name(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        path, uid = server.path(CONFIG_MAPS, name), made["metadata"]["uid"]
        with pytest.raises(Conflict, match="the UID in the precondition"):
            await server.client.delete(path, uid=str(uuid.uuid4()))
        with pytest.raises(Conflict, match="the ResourceVersion in the precondition"):
            await server.client.delete(path, uid=uid, resource_version="1")
        answer = await server.client.delete(path, uid=uid)
        assert (answer["kind"], answer["status"]) == ("Status", "Success")
        with pytest.raises(NotFound):
            await server.client.delete(path, uid=uid)

    async def test_a_pod_on_a_node_gets_its_grace(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(PODS), pod(name, node="no-such-node"))
        path, uid = server.path(PODS, name), made["metadata"]["uid"]
        first = await server.client.delete(path, uid=uid, grace_seconds=30)
        assert first["kind"] == "Pod"
        assert first["metadata"]["deletionGracePeriodSeconds"] == 30
        assert first["metadata"]["deletionTimestamp"] > made["metadata"]["creationTimestamp"]
        assert (await server.client.get(path))["metadata"]["deletionTimestamp"]
        again = await server.client.delete(path, uid=uid, grace_seconds=60)
        assert version(again) == version(first), "a second delete never lengthens the first one's grace"
        shorter = await server.client.delete(path, uid=uid, grace_seconds=5)
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
        last = await server.client.delete(path, uid=uid, grace_seconds=0)
        assert last["kind"] == "Pod"
        with pytest.raises(NotFound):
            await server.client.get(path)

    async def test_the_grace_is_the_pods_own_where_none_is_asked_for(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(PODS), pod(name, node="no-such-node"))
        path, uid = server.path(PODS, name), made["metadata"]["uid"]
        deleting = await server.client.delete(path, uid=uid)
        assert deleting["metadata"]["deletionGracePeriodSeconds"] == 20
        await server.client.delete(path, uid=uid, grace_seconds=0)

    @pytest.mark.parametrize("phase", ["", "Succeeded", "Failed"], ids=["unscheduled", "succeeded", "failed"])
    async def test_a_pod_that_nothing_runs_goes_at_once(self, server: Server, name: str, phase: str) -> None:
        made = await server.client.create(server.path(PODS), pod(name, node="no-such-node" if phase else ""))
        path = server.path(PODS, name)
        if phase:
            await server.client.patch_merge(f"{path}/status", {"status": {"phase": phase}})
        gone = await server.client.delete(path, uid=made["metadata"]["uid"], grace_seconds=30)
        assert gone["kind"] == "Pod"
        with pytest.raises(NotFound):
            await server.client.get(path)

    async def test_children_follow_their_owner(self, server: Server, name: str) -> None:
        job = await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        owner = {
            "apiVersion": job["apiVersion"],
            "kind": job["kind"],
            "name": name,
            "uid": job["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
        await server.client.create(server.path(CONFIG_MAPS), config_map(name, ownerReferences=[owner]))
        await server.client.create(server.path(PODS), pod(name, ownerReferences=[owner]))
        running = await server.client.create(
            server.path(PODS), pod(f"{name}-run", node="no-such-node", ownerReferences=[owner])
        )
        await server.client.delete(server.path(BATCH_JOBS, name), uid=job["metadata"]["uid"])

        async def followed() -> bool:
            gone = 0
            for resource in (CONFIG_MAPS, PODS):
                try:
                    await server.client.get(server.path(resource, name))
                except NotFound:
                    gone += 1
            still = await server.client.get(server.path(PODS, f"{name}-run"))
            return gone == 2 and "deletionTimestamp" in still["metadata"]

        await server.eventually(followed)
        path = server.path(PODS, f"{name}-run")
        await server.client.delete(path, uid=running["metadata"]["uid"], grace_seconds=0)

    async def test_a_child_of_an_owner_that_is_gone_goes_too(self, server: Server, name: str) -> None:
        owner = {
            "apiVersion": "batch-operator.dev/v1alpha1",
            "kind": "BatchJob",
            "name": name,
            "uid": str(uuid.uuid4()),
        }
        await server.client.create(server.path(CONFIG_MAPS), config_map(name, ownerReferences=[owner]))

        async def gone() -> bool:
            listing = await server.client.list(server.path(CONFIG_MAPS))
            return all(item["metadata"]["name"] != name for item in listing.items)

        await server.eventually(gone)


async def test_every_refusal_is_an_api_error(server: Server) -> None:
    with pytest.raises(ApiError) as caught:
        await server.client.create(server.path(PODS), config_map("x"))
    assert caught.value.status == 400
