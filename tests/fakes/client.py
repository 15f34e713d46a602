"""`FakeClient`: the interface of batch_operator.cluster.client.Client over a FakeAPIServer.

`line` stands between the two: it may delay, refuse or lose a request or its answer (tests.fakes.faults).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from batch_operator.cluster.client import PAGE_SIZE, WATCH_INACTIVITY_SECONDS, Identity, Listing, WriteGuard
from batch_operator.cluster.errors import ApiError, Gone, Unreachable, error_from_status
from batch_operator.cluster.json_reading import Fields
from batch_operator.cluster.resource_paths import resource_of
from tests.fakes.api_server import FakeAPIServer, Params
from tests.fakes.resource_types import Object

T = TypeVar("T")
Verb = Literal["get", "create", "update", "patch", "delete", "list"]
WRITES = ("create", "update", "patch", "delete")
_CHUNKED_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes out; `body` is what is sent, `uid` a delete's precondition."""

    actor: str
    verb: Verb
    path: str
    body: Mapping[str, Any] | None = None
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A write that was sent, and what became of it: `changed` by the server, `error` as the server's refusal."""

    request: Request
    at: float
    version: int
    changed: bool
    error: str = ""


Line = Callable[[Request, Callable[[], Object]], Awaitable[Object]]


async def straight(request: Request, send: Callable[[], Object]) -> Object:
    """The line on which nothing happens."""
    return send()


class FakeClient:
    """Raises what Client raises. `sent` notes every write that reached the server. `guard` is asked before `line`, so
    that a process may be stopped between the two.
    """

    def __init__(
        self,
        server: FakeAPIServer,
        actor: str = "tester",
        line: Line = straight,
        guard: WriteGuard | None = None,
        as_of: Callable[[str], int | None] = lambda path: None,
        fields: Mapping[str, Fields] | None = None,
    ) -> None:
        self.server = server
        self._as_of = as_of
        self._fields = fields or {}
        self.actor = actor
        self.sent: list[Sent] = []
        self._line = line
        self._guard = guard

    async def get(self, path: str, params: Params | None = None) -> Object:
        found = await self._line(Request(self.actor, "get", path), lambda: self.server.get(path))
        return self._read(path, found)

    async def create(self, path: str, obj: Mapping[str, Any], params: Params | None = None) -> Object:
        request = Request(self.actor, "create", path, obj)
        return await self._write(request, lambda: self.server.create(path, obj, actor=self.actor))

    async def update(self, path: str, obj: Mapping[str, Any]) -> Object:
        request = Request(self.actor, "update", path, obj)
        return await self._write(request, lambda: self.server.update(path, obj, actor=self.actor))

    async def patch_merge(self, path: str, patch: Mapping[str, Any]) -> Object:
        request = Request(self.actor, "patch", path, patch)
        return await self._write(request, lambda: self.server.patch(path, patch, actor=self.actor))

    async def patch_status(self, path: str, patch: Mapping[str, Any]) -> Object:
        return await self.patch_merge(f"{path}/status", patch)

    async def delete(
        self, path: str, *, uid: str, grace_seconds: int | None = None, resource_version: str | None = None
    ) -> Object:
        def send() -> Object:
            return self.server.delete(
                path,
                uid=uid or None,
                grace_seconds=grace_seconds,
                resource_version=resource_version,
                actor=self.actor,
            )

        return await self._write(Request(self.actor, "delete", path, uid=uid), send)

    async def list(self, path: str, params: Params | None = None) -> Listing[Object]:
        return await self.list_as(path, lambda item: item, params)

    async def list_as(self, path: str, decode: Callable[[Object], T], params: Params | None = None) -> Listing[T]:
        for _ in range(_CHUNKED_ATTEMPTS):
            try:
                return await self._list_pages(path, decode, {**(params or {}), "limit": PAGE_SIZE})
            except Gone:
                continue
        return await self._list_pages(path, decode, dict(params or {}))

    async def list_identities(self, path: str, params: Params | None = None) -> Listing[Identity]:
        return await self._list_pages(path, Identity.of, params or {})

    async def watch(
        self, path: str, params: Params | None = None, *, inactivity_seconds: float = WATCH_INACTIVITY_SECONDS
    ) -> AsyncGenerator[Object, None]:
        """Waits for commits and for the simulated clock; somebody else must move that."""
        clock = self.server.clock
        stream = self.server.watch(path, params)
        news = asyncio.Event()
        stream.wake = news.set
        heard = clock.time()
        try:
            while True:
                news.clear()
                for event in stream.poll():
                    heard = clock.time()
                    if event["type"] == "ERROR":
                        raise error_from_status(event["object"])
                    yield {**event, "object": self._read(path, event["object"])}
                if stream.ended:
                    return
                if clock.time() - heard >= inactivity_seconds:
                    raise Unreachable(f"watch of {path} broke: no answer in time")
                alarm = clock.call_at(min(stream.next_word, heard + inactivity_seconds), news.set)
                await news.wait()
                alarm.cancel()
        finally:
            stream.close()

    async def _list_pages(self, path: str, decode: Callable[[Object], T], params: Params) -> Listing[T]:
        items: list_of[T] = []
        token = ""
        while True:
            asked = {**params, "continue": token} if token else params
            send = partial(self.server.list_page, path, asked, as_of=self._as_of(path))
            page = await self._line(Request(self.actor, "list", path), send)
            items.extend(decode(self._read(path, item)) for item in page["items"])
            token = page["metadata"].get("continue", "")
            if not token:
                return Listing(tuple(items), page["metadata"]["resourceVersion"])

    async def _write(self, request: Request, send: Callable[[], Object]) -> Object:
        def noted() -> Object:
            log, before = self.server.log, self.server.log.version
            error = ""
            try:
                return send()
            except ApiError as refused:
                error = type(refused).__name__
                raise
            finally:
                changed = log.version > before
                self.sent.append(Sent(request, self.server.clock.time(), log.version, changed, error))

        if self._guard is not None:
            self._guard()
        return self._read(request.path, await self._line(request, noted))

    def _read(self, path: str, found: Object) -> Object:
        only = self._fields.get(resource_of(path).partition("/")[0])
        if only is None or found.get("kind") == "Status":
            return found
        try:
            read: Object = msgspec.convert(found, only)
        except msgspec.ValidationError:  # as the real one does where an object is not as the fields promise
            return found
        return read


list_of = list  # `FakeClient.list` hides the builtin inside the class
