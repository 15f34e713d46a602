"""Lists and watches, as test_writes.py has the writes: the same cases on the fake server and the real."""

import asyncio
from contextlib import aclosing

import pytest

from batch_operator.cluster.client import Identity, Object
from batch_operator.cluster.errors import (
    Gone,
    ServerError,
)
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PODS
from tests.fakes.either_server import (
    Params,
    Server,
    batch_job,
    config_map,
    pod,
    taken,
    version,
)


class TestList:
    async def test_labels_select(self, server: Server, name: str) -> None:
        for kind in ("a", "b"):
            labels = {"group": name, "kind": kind}
            await server.client.create(server.path(CONFIG_MAPS), config_map(f"{name}-{kind}", labels=labels))
        found = {}
        for selector in (f"group={name}", f"group={name},kind=a", f"group={name},kind!=a", f"group={name},!kind"):
            listing = await server.client.list(server.path(CONFIG_MAPS), {"labelSelector": selector})
            found[selector.removeprefix(f"group={name}")] = [
                item["metadata"]["name"].removeprefix(f"{name}-") for item in listing.items
            ]
        assert found == {"": ["a", "b"], ",kind=a": ["a"], ",kind!=a": ["b"], ",!kind": []}

    async def test_identities(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(BATCH_JOBS), batch_job(name))
        await server.client.create(server.path(CONFIG_MAPS), config_map(name, labels={"group": name}))
        assert Identity.of(made) in (await server.client.list_identities(BATCH_JOBS.path())).items
        selected = await server.client.list_identities(server.path(CONFIG_MAPS), {"labelSelector": f"group={name}"})
        assert [found.name for found in selected.items] == [name]

    async def test_a_version_that_is_old_or_any_gives_the_newest(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        for asked in ("0", made["metadata"]["resourceVersion"]):
            listing = await server.client.list(server.path(CONFIG_MAPS), {"resourceVersion": asked})
            assert name in [item["metadata"]["name"] for item in listing.items]
            assert int(listing.resource_version) >= version(made)

    async def test_a_version_of_the_future_is_refused(self, server: Server) -> None:
        listing = await server.client.list(server.path(CONFIG_MAPS))
        ahead = str(int(listing.resource_version) + 1_000_000)
        with pytest.raises(ServerError, match="Too large resource version"):
            await server.client.list(server.path(CONFIG_MAPS), {"resourceVersion": ahead})


class TestWatch:
    async def test_it_tells_all_that_happens_after_its_version(self, server: Server, name: str) -> None:
        path = server.path(CONFIG_MAPS, name)
        made = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        since = {"resourceVersion": made["metadata"]["resourceVersion"]}
        changed = await server.client.patch_merge(path, {"data": {"value": "2"}})
        async with aclosing(server.client.watch(server.path(CONFIG_MAPS), since)) as stream:
            await server.client.delete(path, uid=made["metadata"]["uid"])
            first, second = await taken(stream, 2)
        assert (first["type"], first["object"]) == ("MODIFIED", changed)
        assert (second["type"], second["object"]["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])
        assert second["object"]["data"] == {"value": "2"}
        assert version(second["object"]) > version(first["object"])

    async def test_a_graceful_delete_is_a_change_and_then_an_end(self, server: Server, name: str) -> None:
        made = await server.client.create(server.path(PODS), pod(name, node="no-such-node"))
        path, uid = server.path(PODS, name), made["metadata"]["uid"]
        await server.client.delete(path, uid=uid, grace_seconds=30)
        await server.client.delete(path, uid=uid, grace_seconds=0)
        since = {"resourceVersion": made["metadata"]["resourceVersion"]}
        async with aclosing(server.client.watch(server.path(PODS), since)) as stream:
            events: list[Object] = []
            while not events or events[-1]["type"] != "DELETED":
                events += [event for event in await taken(stream, 1) if event["object"]["metadata"]["name"] == name]
        assert events[0]["type"] == "MODIFIED"
        assert all("deletionTimestamp" in event["object"]["metadata"] for event in events)

    async def test_what_loses_its_label_is_told_as_deleted(self, server: Server, name: str) -> None:
        path = server.path(CONFIG_MAPS, name)
        params = {"labelSelector": f"group={name}", "resourceVersion": "0"}
        await server.client.create(server.path(CONFIG_MAPS), config_map(name, labels={"group": name}))
        async with aclosing(server.client.watch(server.path(CONFIG_MAPS), params)) as stream:
            (first,) = await taken(stream, 1)
            await server.client.patch_merge(path, {"metadata": {"labels": {"group": None}}})
            await server.client.patch_merge(path, {"data": {"value": "unseen"}})
            await server.client.patch_merge(path, {"metadata": {"labels": {"group": name}}})
            lost, back = await taken(stream, 2)
        assert (first["type"], lost["type"], back["type"]) == ("ADDED", "DELETED", "ADDED")
        assert lost["object"]["metadata"]["labels"] == {"group": name}
        assert lost["object"]["data"] == {"value": "1"}
        assert back["object"]["data"] == {"value": "unseen"}

    async def test_a_version_that_is_too_old_is_gone(self, server: Server) -> None:
        # of our own kind: on a young server only its watch cache is sure to begin later than version 1
        async with aclosing(server.client.watch(server.path(BATCH_JOBS), {"resourceVersion": "1"})) as stream:
            with pytest.raises(Gone, match="too old resource version"):
                await taken(stream, 1)

    async def test_it_ends_when_its_time_is_over(self, server: Server) -> None:
        listing = await server.client.list(server.path(CONFIG_MAPS))
        params: Params = {"resourceVersion": listing.resource_version, "timeoutSeconds": 1}
        events: list[Object] = []

        async def listen() -> None:
            async with aclosing(server.client.watch(server.path(CONFIG_MAPS), params)) as stream:
                events.extend([event async for event in stream])

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await server.pass_time(1.1)
        await asyncio.wait_for(listening, 20)
        assert events == []

    async def test_bookmarks_move_the_version_past_what_is_not_told(self, server: Server, name: str) -> None:
        listing = await server.client.list(server.path(CONFIG_MAPS))
        params: Params = {
            "labelSelector": "group=none",
            "resourceVersion": listing.resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": 6,
        }
        events: list[Object] = []

        async def listen() -> None:
            async with aclosing(server.client.watch(server.path(CONFIG_MAPS), params)) as stream:
                events.extend([event async for event in stream])

        listening = asyncio.create_task(listen())
        await server.pass_time(1)  # what happened before it began brings the real server to no bookmark
        unseen = await server.client.create(server.path(CONFIG_MAPS), config_map(name))
        for _ in range(3):
            await server.pass_time(2)
        await asyncio.wait_for(listening, 20)
        assert {event["type"] for event in events} == {"BOOKMARK"}
        assert version(events[-1]["object"]) >= version(unseen)
