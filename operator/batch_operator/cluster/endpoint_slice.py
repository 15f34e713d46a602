"""`ProgressEndpoints`: the one EndpointSlice of the progress Service, kept by the leader: it leads to its pod alone.

The Service has no selector, so that nobody else writes slices for it. The slice is owned by the leader's pod and goes
with it; it is written by server-side apply, which RBAC can grant by name.
"""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from batch_operator.api import names
from batch_operator.cluster.client import Listing, Object, Params
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.reflector import Reflector
from batch_operator.cluster.resource_paths import ENDPOINT_SLICES
from batch_operator.cluster.store import RecordStore

PORT_NAME = "progress"
FIELD_MANAGER = "batch-operator"
RETRY_SECONDS = 2.0
T = TypeVar("T")
log = structlog.get_logger(__name__)


class SliceClient(Protocol):
    """The part of the `Client` that is needed here."""

    async def apply(self, path: str, obj: Mapping[str, Any], *, manager: str) -> Object: ...
    async def list_as(self, path: str, decode: Callable[[Object], T], params: Params | None = None) -> Listing[T]: ...
    def watch(
        self, path: str, params: Params | None = None, *, inactivity_seconds: float = ...
    ) -> AsyncGenerator[Object, None]: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """The pod that answers, by the downward API."""

    namespace: str
    pod_name: str
    pod_uid: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class SliceRecord:
    """What of the slice makes traffic go where it goes."""

    uid: str
    namespace: str
    name: str
    resource_version: str
    route: object


def decode_slice(raw: Mapping[str, Any]) -> SliceRecord:
    meta = raw["metadata"]
    return SliceRecord(meta["uid"], meta["namespace"], meta["name"], meta["resourceVersion"], _route(raw))


class ProgressEndpoints:
    """Named like the Service, in its namespace."""

    def __init__(
        self,
        client: SliceClient,
        service: str,
        backend: Backend,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._path = ENDPOINT_SLICES.path(backend.namespace, service)
        self._manifest = manifest(service, backend)
        self._place = {"namespace": backend.namespace, "name": service}
        self._sleep = sleep
        self._wrong = asyncio.Event()
        store = RecordStore[SliceRecord](self._changed)
        self._reflector = Reflector[SliceRecord](
            client,
            ENDPOINT_SLICES.path(backend.namespace),
            decode_slice,
            store,
            params={"fieldSelector": f"metadata.name={service}"},  # with it, list and watch can be granted by name
        )

    async def publish(self) -> None:
        """Leads the Service here. Raises ApiError."""
        await self._client.apply(self._path, self._manifest, manager=FIELD_MANAGER)
        address = self._manifest["endpoints"][0]["addresses"][0]
        log.info("progress comes here", reason="Published", address=address, **self._place)

    async def keep(self) -> None:
        """Puts right what somebody else changes or deletes, for ever."""
        watching = asyncio.create_task(self._reflector.run(), name="endpoint slice")
        try:
            while True:
                await self._wrong.wait()
                self._wrong.clear()
                try:
                    await self.publish()
                except ApiError as error:
                    log.warning("cannot write the EndpointSlice", error=str(error), **self._place)
                    self._wrong.set()
                    await self._sleep(error.retry_after or RETRY_SECONDS)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _changed(self, old: SliceRecord | None, new: SliceRecord | None) -> None:
        if new is None or new.route != _route(self._manifest):
            self._wrong.set()


def manifest(service: str, backend: Backend) -> Object:
    address = ipaddress.ip_address(backend.address)
    pod = {"kind": "Pod", "namespace": backend.namespace, "name": backend.pod_name, "uid": backend.pod_uid}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": backend.pod_name, "uid": backend.pod_uid}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": backend.namespace,
            "name": service,
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": names.GROUP,
            },
            "ownerReferences": [owner],
        },
        "addressType": f"IPv{address.version}",
        "endpoints": [
            {
                "addresses": [str(address)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": pod,
            }
        ],
        "ports": [{"name": PORT_NAME, "port": backend.port, "protocol": "TCP"}],
    }


def _route(raw: Mapping[str, Any]) -> object:
    """Comparable: the server fills in what is left out, and keeps other labels."""
    labels = raw["metadata"].get("labels") or {}
    owners = raw["metadata"].get("ownerReferences") or ()
    endpoints = [
        (tuple(e.get("addresses") or ()), (e.get("conditions") or {}).get("ready")) for e in raw.get("endpoints") or ()
    ]
    ports = [(p.get("name"), p.get("port"), p.get("protocol")) for p in raw.get("ports") or ()]
    return labels.get("kubernetes.io/service-name"), [o.get("uid") for o in owners], endpoints, ports
