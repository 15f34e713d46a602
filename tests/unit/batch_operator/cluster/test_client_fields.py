"""A client that is told what is read of a resource answers with that, whatever the verb."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import orjson
import pytest

from batch_operator.api.fields import READ_FIELDS
from batch_operator.cluster.client import Client, Object
from tests.unit.batch_operator.cluster.scripted_server import ScriptedServer, make_client

PODS = "/api/v1/pods"
WHOLE: Object = {
    "kind": "Pod",
    "metadata": {"name": "a", "uid": "u", "resourceVersion": "5", "managedFields": [{"manager": "kubelet"}]},
    "spec": {"nodeName": "n", "serviceAccountName": "x"},
}
READ: Object = {
    "kind": "Pod",
    "metadata": {"name": "a", "uid": "u", "resourceVersion": "5"},
    "spec": {"nodeName": "n"},
}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[Client]:
    async with make_client(server.url, fields=READ_FIELDS) as client:
        yield client


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get(f"{PODS}/a"),
        lambda client: client.create(PODS, {}),
        lambda client: client.patch_status(f"{PODS}/a", {}),
        lambda client: client.delete(f"{PODS}/a", uid="u"),
    ],
    ids=["get", "create", "patch of the status", "delete"],
)
async def test_of_one_object(
    server: ScriptedServer, client: Client, ask: Callable[[Client], Awaitable[Object]]
) -> None:
    server.answers(WHOLE)
    assert await ask(client) == READ


async def test_of_a_list(server: ScriptedServer, client: Client) -> None:
    server.answers({"metadata": {"resourceVersion": "5"}, "items": [WHOLE]})
    assert (await client.list(PODS)).items == (READ,)


async def test_of_a_watch(server: ScriptedServer, client: Client) -> None:
    server.streams(orjson.dumps({"type": "MODIFIED", "object": WHOLE}) + b"\n")
    async with aclosing(client.watch(PODS)) as stream:
        assert [raw async for raw in stream] == [{"type": "MODIFIED", "object": READ}]


async def test_of_another_resource_all_is_read(server: ScriptedServer, client: Client) -> None:
    server.answers(WHOLE)
    assert await client.get("/api/v1/namespaces/x/configmaps/a") == WHOLE
