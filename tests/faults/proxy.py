"""`FaultProxy`: stands between one operator process and the real API server, on loopback, and lets one fault strike.

The operator sees only its plan's namespace, so that plans can be played side by side in one cluster: the cluster-wide
collections of namespaced kinds are answered by the namespace's own, and of Queues it sees the one of that name. Leases
and TokenReviews are not counted. Why our own proxy: docs/adr/0007.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.stream import pass_on, until_gone
from tests.faults.upstream import Answer, Upstream

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_UNCOUNTED = ("/leases", "/tokenreviews", "/endpointslices")
_SCOPED = ("/api/v1/", "/apis/batch-operator.dev/v1alpha1/")
_NAMESPACED = ("pods", "batchjobs", "pipelines")
_QUEUES = "/apis/batch-operator.dev/v1alpha1/queues"
_HOP = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
)
_MAX_BODY = 16 << 20
HELD_SECONDS = 100.0


@dataclass(slots=True)
class Written:
    """One write of the operator: what it asked, and what the API server made of it (`answer` None: never sent)."""

    verb: str
    path: str
    body: dict[str, Any]
    at: float
    answer: Answer | None = None

    @property
    def version(self) -> int:
        """The resourceVersion in the answer; 0: it has none."""
        if self.answer is None or self.answer.code >= 300:
            return 0
        return int((self.answer.object.get("metadata") or {}).get("resourceVersion") or 0)


class FaultProxy:
    """Armed anew for each plan. `crash` must end the operator; it is awaited at the moment that the fault says."""

    def __init__(self, upstream: Upstream, namespace: str) -> None:
        self._upstream = upstream
        self._namespace = namespace
        self._runner: web.AppRunner | None = None
        self._crash: Callable[[], Awaitable[None]] = _nobody
        self._open = asyncio.Event()
        self._under_way = 0
        self.port = 0
        self.fault = Fault()
        self.struck = False
        self.writes: list[Written] = []
        self.events = 0
        self.streams: set[str] = set()
        """The collections that the operator watches now."""
        self.last_write = 0.0
        self.opened = 0.0

    async def start(self) -> None:
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._open.clear()
        if self._runner is not None:
            await self._runner.cleanup()

    def arm(self, fault: Fault, crash: Callable[[], Awaitable[None]]) -> None:
        self.fault, self._crash, self.struck = fault, crash, False
        self.writes, self.events, self.last_write = [], 0, 0.0

    def open(self) -> None:
        """Requests come through from now on."""
        self.streams.clear()
        self.opened = time.monotonic()
        self._open.set()

    async def shut(self) -> None:
        """Nothing comes through any more; returns when what is under way has been answered."""
        self._open.clear()
        while self._under_way:
            await asyncio.sleep(0.005)

    # -- requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = self._scoped(request.path)
        if request.method == "GET" and request.query.get("watch") in ("true", "1"):
            return await self._watch(request, path)
        body = await request.read()
        query = self._query(request, path)
        if not self._open.is_set():
            return _cut(request)
        if request.method not in _WRITES or path.endswith(_UNCOUNTED) or any(f"{p}/" in path for p in _UNCOUNTED):
            return _reply(await self._forward(request, path + query, body))
        written = Written(_WRITES[request.method], path, _json(body), time.monotonic())
        k = len(self.writes)
        self.writes.append(written)
        self.last_write = time.monotonic()

        async def send() -> Answer:
            written.answer = await self._forward(request, path + query, body)
            self.last_write = time.monotonic()
            return written.answer

        if self.fault.kind in faults.WRITE_FAULTS and k == self.fault.k and not self.struck:
            self.struck = True
            return await self._strike(request, send)
        return _reply(await send())

    async def _forward(self, request: web.Request, path: str, body: bytes) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        self._under_way += 1
        try:
            return await asyncio.shield(self._upstream.send(request.method, path, body or None, headers))
        finally:
            self._under_way -= 1

    async def _strike(self, request: web.Request, send: Callable[[], Awaitable[Answer]]) -> web.StreamResponse:
        kind = self.fault.kind
        if kind in faults.CRASHES:
            return await self._strike_dead(request, send)
        if kind == faults.DELAYED:
            await asyncio.sleep(faults.DELAY_SECONDS)
            return _reply(await send())
        if kind in faults.REFUSED:
            return _refuse(kind)
        if kind not in (faults.TIMEOUT_BEFORE, faults.RESET_BEFORE):
            answer = await send()
            if kind in faults.APPLIED_AND_REFUSED:
                return _refuse(kind)
            if kind == faults.TRUNCATED:
                return await _truncated(request, answer)
        if kind in (faults.TIMEOUT_BEFORE, faults.TIMEOUT_AFTER):
            await until_gone(request, HELD_SECONDS)
        return _cut(request)

    async def _strike_dead(self, request: web.Request, send: Callable[[], Awaitable[Answer]]) -> web.StreamResponse:
        """Whatever the process still sends from here on is not let through: it has been killed."""
        kind = self.fault.kind
        if kind == faults.CRASH_BEFORE:
            self._open.clear()
        else:
            answer = await send()
            self._open.clear()
        if kind == faults.CRASH_AFTER_REPLY:
            reply = _reply(answer)
            await reply.prepare(request)
            await reply.write_eof()
        await asyncio.shield(asyncio.ensure_future(self._crash()))
        return _cut(request)

    # -- watches

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        if not self._open.is_set():
            return _cut(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self._upstream.server}{path}{self._query(request, path)}"
        async with self._upstream.session.get(URL(url, encoded=True), headers=headers, timeout=timeout) as source:
            if source.status != 200:
                return _reply(Answer(source.status, await source.read(), source.headers))
            reply = web.StreamResponse(headers={"Content-Type": "application/json"})
            await reply.prepare(request)
            self.streams.add(path)
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                await pass_on(source.content, reply, request, self._event_fault)
            self.streams.discard(path)
            return reply

    def _event_fault(self) -> str:
        """Called once per event, bookmarks apart -> the kind of fault that strikes it, or "reference"."""
        k = self.events
        self.events += 1
        if self.fault.kind in faults.WATCH_FAULTS and k == self.fault.k and not self.struck:
            self.struck = True
            return self.fault.kind
        return faults.NONE

    def _query(self, request: web.Request, path: str) -> str:
        parts = [request.rel_url.raw_query_string] if request.query_string else []
        if path == _QUEUES:
            parts.append(f"fieldSelector=metadata.name%3D{self._namespace}")
        return f"?{'&'.join(parts)}" if parts else ""

    def _scoped(self, path: str) -> str:
        for prefix in _SCOPED:
            if path.startswith(prefix) and path.removeprefix(prefix) in _NAMESPACED:
                return f"{prefix}namespaces/{self._namespace}/{path.removeprefix(prefix)}"
        return path


async def _nobody() -> None:
    return None


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reply(answer: Answer) -> web.Response:
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
    return web.Response(status=answer.code, body=answer.body, headers=headers)


def _refuse(kind: str) -> web.Response:
    code, status = faults.refusal(kind)
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(status, status=code, headers=headers)


async def _truncated(request: web.Request, answer: Answer) -> web.StreamResponse:
    reply = web.StreamResponse(status=answer.code, headers={"Content-Length": str(len(answer.body))})
    reply.content_type = "application/json"
    await reply.prepare(request)
    await reply.write(answer.body[: len(answer.body) // 2])
    return _cut(request)


def _cut(request: web.Request) -> web.Response:
    """The client sees its connection reset, and no byte of an answer more; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
