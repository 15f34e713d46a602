"""The EndpointSlice that leads progress to the leader."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from batch_operator.cluster.client import Listing, Object
from batch_operator.cluster.endpoint_slice import Backend, ProgressEndpoints, manifest
from batch_operator.cluster.errors import ServerError
from batch_operator.cluster.resource_paths import ENDPOINT_SLICES

T = TypeVar("T")
BACKEND = Backend("ops", "operator-1", "uid-1", "10.1.2.3", 8443)
PATH = ENDPOINT_SLICES.path("ops", "progress")


class OneSlice:
    """An API server with room for one EndpointSlice; `news` are its watch events."""

    def __init__(self) -> None:
        self.version = 0
        self.applied: list[Object] = []
        self.refusals = 0
        self.asked: list[Mapping[str, Any]] = []
        self.news: asyncio.Queue[Object] = asyncio.Queue()

    async def apply(self, path: str, obj: Mapping[str, Any], *, manager: str) -> Object:
        assert (path, manager) == (PATH, "batch-operator")
        if self.refusals:
            self.refusals -= 1
            raise ServerError(500, "InternalError", "etcdserver: leader changed")
        self.applied.append(dict(obj))
        self.happens("MODIFIED", obj)
        return dict(obj)

    async def list_as(
        self, path: str, decode: Callable[[Object], T], params: Mapping[str, Any] | None = None
    ) -> Listing[T]:
        self.asked.append(params or {})
        return Listing((), "0")

    async def watch(
        self, path: str, params: Mapping[str, Any] | None = None, *, inactivity_seconds: float = 0
    ) -> AsyncGenerator[Object, None]:
        while True:
            yield await self.news.get()

    def happens(self, change: str, obj: Mapping[str, Any]) -> None:
        self.version += 1
        metadata = obj["metadata"] | {"uid": "slice", "resourceVersion": str(self.version)}
        self.news.put_nowait({"type": change, "object": {**obj, "metadata": metadata}})


@pytest.fixture
async def server() -> AsyncIterator[OneSlice]:
    server = OneSlice()
    endpoints = ProgressEndpoints(server, "progress", BACKEND, sleep=lambda _: asyncio.sleep(0))
    await endpoints.publish()
    keeping = asyncio.create_task(endpoints.keep())
    yield server
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def settled(server: OneSlice) -> int:
    """How often it was written, once all news is taken."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert server.news.empty()
    return len(server.applied)


def test_it_leads_the_service_to_the_leader_s_pod_and_goes_with_it() -> None:
    made = manifest("progress", BACKEND)
    assert made["metadata"]["labels"] == {
        "kubernetes.io/service-name": "progress",
        "endpointslice.kubernetes.io/managed-by": "batch-operator.dev",
    }
    assert [(owner["kind"], owner["uid"]) for owner in made["metadata"]["ownerReferences"]] == [("Pod", "uid-1")]
    assert made["addressType"] == "IPv4"
    (endpoint,) = made["endpoints"]
    assert endpoint["addresses"] == ["10.1.2.3"]
    assert endpoint["conditions"]["ready"] is True
    assert made["ports"] == [{"name": "progress", "port": 8443, "protocol": "TCP"}]


def test_also_over_ipv6() -> None:
    made = manifest("progress", Backend("ops", "operator-1", "uid-1", "fd00:0:0::7", 8443))
    assert (made["addressType"], made["endpoints"][0]["addresses"]) == ("IPv6", ["fd00::7"])


async def test_it_is_written_once_and_left_alone(server: OneSlice) -> None:
    assert await settled(server) == 1
    assert server.asked == [{"fieldSelector": "metadata.name=progress"}], "RBAC grants no other list"


@pytest.mark.parametrize(
    "change",
    [
        {"endpoints": []},
        {"endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": True}}]},
        {"endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": False}}]},
        {"ports": [{"name": "progress", "port": 1, "protocol": "TCP"}]},
        {"metadata": {"namespace": "ops", "name": "progress", "labels": {}}},
    ],
    ids=["no-address", "another-s-address", "not-ready", "port", "labels"],
)
async def test_what_somebody_changes_is_put_right(server: OneSlice, change: Mapping[str, Any]) -> None:
    await settled(server)
    server.happens("MODIFIED", {**manifest("progress", BACKEND), **change})
    assert await settled(server) == 2


async def test_what_somebody_deletes_is_made_again_also_where_that_fails_at_first(server: OneSlice) -> None:
    await settled(server)
    server.refusals = 2
    server.happens("DELETED", manifest("progress", BACKEND))
    assert await settled(server) == 2
    assert server.refusals == 0


async def test_what_the_server_fills_in_is_no_change(server: OneSlice) -> None:
    filled = manifest("progress", BACKEND)
    filled["endpoints"][0]["nodeName"] = None
    filled["metadata"]["labels"]["more"] = "yes"
    server.happens("MODIFIED", filled)
    assert await settled(server) == 1
