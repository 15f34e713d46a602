"""An in-process HTTP server on loopback that answers by a script and remembers what it was asked."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from batch_operator.cluster.client import Client
from batch_operator.cluster.credentials import Credentials

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_client(url: str, **options: Any) -> Client:
    """A client of the server at `url`, with a token."""
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = "Bearer secret"
    configuration.connection_pool_maxsize = options.pop("pool", 100)
    return Client(Credentials(configuration), **options)


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any


class ScriptedServer:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._script: deque[Answer] = deque()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._server = TestServer(app)

    async def __aenter__(self) -> "ScriptedServer":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    def answers(self, body: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The next request gets this; bytes go out as they are, anything else as JSON."""

        async def answer(_: web.Request) -> web.StreamResponse:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            return web.Response(status=status, body=data, content_type="application/json", headers=headers)

        self._script.append(answer)

    def streams(self, *chunks: bytes, then: str = "end") -> None:
        """The next request gets these chunks, a write each; then "end", "cut" the connection, or "hang"."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
                await asyncio.sleep(0.005)  # own packets, so that the reader sees the parts
            if then == "cut":
                assert request.transport is not None
                request.transport.abort()
            elif then == "hang":
                await asyncio.sleep(30)
            return response

        self._script.append(answer)

    def hangs(self) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(30)
            return web.Response()

        self._script.append(answer)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        body = orjson.loads(data) if data else None
        self.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        if not self._script:
            return web.Response(status=500, text=f"nothing scripted for {request.method} {request.path}")
        return await self._script.popleft()(request)


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """A Kubernetes Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }
