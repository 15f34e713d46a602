"""`GuardedSite`: a TLS port of an aiohttp application that strangers may reach, with the limits that aiohttp
itself lacks.

Used by progress_server. A connection that has not brought a whole request head within `FIRST_REQUEST_SECONDS`
(TLS handshake included) is closed, and so is one above `MAX_CONNECTIONS`. An idle connection is closed by
aiohttp itself.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

FIRST_REQUEST_SECONDS = 10.0
IDLE_SECONDS = 30.0
MAX_CONNECTIONS = 8192
_LINGERING_SECONDS = 2.0
_SHUTDOWN_SECONDS = 2.0

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Turned(asyncio.Protocol):
    """Takes a connection that is one too many and ends it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class GuardedSite:
    """Listens from `start` to `stop`. `context` may get a new certificate at any time; new connections use
    it.
    """

    def __init__(
        self,
        app: web.Application,
        context: ssl.SSLContext | None,
        *,
        first_request_seconds: float = FIRST_REQUEST_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        app.middlewares.append(self._arrived)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        self._context = context
        self._first_request_seconds = first_request_seconds
        self._max_connections = max_connections
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Binds and listens; returns the port, which the system chooses where 0 was asked for. Raises
        OSError.
        """
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            host,
            port,
            ssl=self._context,
            ssl_handshake_timeout=self._first_request_seconds if self._context else None,
            backlog=512,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stops listening, lets requests in hand end for two seconds, and closes all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._runner.cleanup()
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        # those that are still in their TLS handshake are known to us only
        if server is None or max(len(server.connections), len(self._silent)) >= self._max_connections:
            log.warning("connection turned away", limit=self._max_connections)
            return _Turned()
        protocol = server()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(self._first_request_seconds, self._expired, protocol)
        return protocol

    def _expired(self, protocol: web.RequestHandler) -> None:
        self._silent.pop(protocol, None)
        protocol.force_close()

    @web.middleware
    async def _arrived(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)
