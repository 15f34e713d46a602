"""What only a fake can be made to do; all the rest is in tests/contract/api_server, for both servers."""

import asyncio
from contextlib import aclosing

import pytest

from batch_operator.cluster.errors import Gone, Unreachable
from batch_operator.cluster.resource_paths import CONFIG_MAPS, NAMESPACES
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import FakeClient
from tests.fakes.watch_log import refusal_too_old

PATH = CONFIG_MAPS.path("team-a")


@pytest.fixture
def server() -> FakeAPIServer:
    server = FakeAPIServer()
    server.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
    return server


def add(server: FakeAPIServer, count: int) -> None:
    for number in range(count):
        server.create(PATH, {"metadata": {"name": f"c-{number:04}"}})


async def test_a_long_list_comes_in_pages_as_it_was_at_the_first(server: FakeAPIServer) -> None:
    add(server, 3)
    first = server.list_page(PATH, {"limit": 2})
    server.delete(f"{PATH}/c-0002")
    rest = server.list_page(PATH, {"limit": 2, "continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in first["items"] + rest["items"]] == ["c-0000", "c-0001", "c-0002"]
    assert first["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]


async def test_a_continue_token_expires_and_the_client_lists_anew(server: FakeAPIServer) -> None:
    add(server, 501)
    token = server.list_page(PATH, {"limit": 500})["metadata"]["continue"]
    server.compact()
    with pytest.raises(Gone):
        server.list_page(PATH, {"limit": 500, "continue": token})
    assert len((await FakeClient(server).list(PATH)).items) == 501


async def test_a_compacted_version_is_gone_for_a_watch(server: FakeAPIServer) -> None:
    version = server.list_page(PATH)["metadata"]["resourceVersion"]
    add(server, 1)
    server.compact()
    async with aclosing(FakeClient(server).watch(PATH, {"resourceVersion": version})) as stream:
        with pytest.raises(Gone, match="too old"):
            await anext(stream)


async def test_a_stream_can_end_with_an_error_or_without(server: FakeAPIServer) -> None:
    version = server.list_page(PATH)["metadata"]["resourceVersion"]
    client = FakeClient(server)

    async def listen() -> int:
        async with aclosing(client.watch(PATH, {"resourceVersion": version})) as stream:
            return len([event async for event in stream])

    for error in (None, refusal_too_old(1, 2)):
        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        server.end_streams(error)
        if error is None:
            assert await listening == 0
        else:
            with pytest.raises(Gone):
                await listening


async def test_silence_is_no_answer(server: FakeAPIServer) -> None:
    stream = FakeClient(server).watch(PATH, {"resourceVersion": str(server.log.version)}, inactivity_seconds=75)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    server.clock.advance(75)
    with pytest.raises(Unreachable):
        await waiting


async def test_what_is_given_out_is_not_what_was_given_in(server: FakeAPIServer) -> None:
    mine = {"metadata": {"name": "c"}, "data": {"value": "1"}}
    server.create(PATH, mine)
    mine["data"]["value"] = "2"
    assert server.get(f"{PATH}/c")["data"] == {"value": "1"}


async def test_a_client_notes_what_it_has_sent(server: FakeAPIServer) -> None:
    client = FakeClient(server, "me")
    made = await client.create(PATH, {"metadata": {"name": "c"}, "data": {"value": "1"}})
    await client.patch_merge(f"{PATH}/c", {"data": {"value": "1"}})
    with pytest.raises(Exception, match="not found"):
        await client.delete(f"{PATH}/d", uid=made["metadata"]["uid"])
    assert [(sent.request.verb, sent.changed, sent.error) for sent in client.sent] == [
        ("create", True, ""),
        ("patch", False, ""),
        ("delete", False, "NotFound"),
    ]
