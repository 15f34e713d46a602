"""The server under test in tests/contract/api_server: the fake one or the real one, by one interface."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import pytest

from batch_operator.cluster.client import Identity, Listing, Object
from batch_operator.cluster.resource_paths import NAMESPACES
from tests.cluster import connection
from tests.cluster.errors import ClusterError
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import FakeClient

BOTH = ["fake", pytest.param("real", marks=pytest.mark.contract)]
Params = Mapping[str, str | int | bool]


class Requests(Protocol):
    """What FakeClient and Client share."""

    async def get(self, path: str) -> Object: ...
    async def create(self, path: str, obj: Mapping[str, Any]) -> Object: ...
    async def update(self, path: str, obj: Mapping[str, Any]) -> Object: ...
    async def patch_merge(self, path: str, patch: Mapping[str, Any]) -> Object: ...
    async def patch_status(self, path: str, patch: Mapping[str, Any]) -> Object: ...
    async def delete(
        self, path: str, *, uid: str, grace_seconds: int | None = None, resource_version: str | None = None
    ) -> Object: ...
    async def list(self, path: str, params: Params | None = None) -> Listing[Object]: ...
    async def list_identities(self, path: str, params: Params | None = None) -> Listing[Identity]: ...
    def watch(self, path: str, params: Params | None = None) -> AsyncGenerator[Object, None]: ...


class Server:
    """One API server, one namespace on it, and its time: real seconds, or simulated ones."""

    def __init__(self, client: Requests, namespace: str, fake: FakeAPIServer | None) -> None:
        self.client = client
        self.namespace = namespace
        self._fake = fake

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(0 if self._fake else seconds)
        if self._fake:
            self._fake.clock.advance(seconds)
            await asyncio.sleep(0)

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Asks again for at most 30 s of this server's time."""
        for _ in range(150):
            if await holds():
                return
            await self.pass_time(0.2)
        raise AssertionError("did not come true within 30 s")

    def path(self, resource: Any, name: str | None = None) -> str:
        return str(resource.path(self.namespace, name))


def server_of(request: pytest.FixtureRequest) -> Server:
    """The server that a fixture with params=BOTH asks for; the real one is skipped where no cluster is up."""
    if request.param == "real":
        request.getfixturevalue("crds")
        return Server(request.getfixturevalue("client"), request.getfixturevalue("namespace"), None)
    fake = FakeAPIServer()
    fake.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
    return Server(FakeClient(fake), "team-a", fake)


def send_other_operators_away(request: pytest.FixtureRequest) -> None:
    """Does what the contract tests' own fixture does where a cluster is up; without one the fake's cases still run."""
    try:
        connection.load()
    except ClusterError:
        return
    request.getfixturevalue("no_other_operator")


def new_name() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


def config_map(name: str, value: str = "1", **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"value": value},
    }


def batch_job(name: str, **spec: Any) -> Object:
    asked = {"pipeline_type": "batch", "pipeline_key": "none", "inputs": {"worker.in": [{"file_id": "a.csv"}]}}
    return {
        "apiVersion": "batch-operator.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {key: value for key, value in (asked | spec).items() if value is not None},
    }


def pod(name: str, *, node: str = "", **metadata: Any) -> Object:
    """Under the restricted profile. `node`: bound to one that does not exist, so that nobody ever runs or ends it."""
    container = {
        "name": "worker",
        "image": "example.org/none:1",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: Object = {
        "containers": [container],
        "nodeSelector": {"example.org/no-such-node": "true"},
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 20,
    }
    if node:
        spec |= {"nodeName": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def taken(stream: AsyncGenerator[Object, None], count: int) -> list[Object]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]
