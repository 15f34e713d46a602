"""kopf's connection to the API server, made by us so that we can see whether its watches live.

kopf ends a silent stream after inactivity_timeout and every stream after server_timeout, and connects again; it
ends the process where a watcher fails. So a watch lives as long as it connects again in time, and that is what
the session's trace notes. Called by handlers.lifecycle.
"""

import time
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

SERVER_TIMEOUT_SECONDS = 240
"""How long the API server keeps one watch open; kopf then opens the next."""
SILENT_SECONDS = SERVER_TIMEOUT_SECONDS + 90


class WatchTrace:
    """When kopf last connected each watched collection (URL path -> monotonic seconds)."""

    def __init__(self) -> None:
        self.connected: dict[str, float] = {}
        self.config = aiohttp.TraceConfig()
        self.config.on_request_end.append(self._on_request_end)

    async def _on_request_end(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if params.method == "GET" and params.response.status == 200:
            self.connected[params.url.path] = time.monotonic()

    def age(self, path: str) -> float | None:
        """Seconds since the watch of this collection last connected; None before the first time."""
        connected = self.connected.get(path)
        return None if connected is None else time.monotonic() - connected

    def trouble(self, path: str) -> str | None:
        """What is wrong with the watch of this collection, or None."""
        age = self.age(path)
        if age is None:
            return "not connected yet"
        return f"last connected {age:.0f} s ago" if age > SILENT_SECONDS else None


def login(trace: WatchTrace, settings: kopf.OperatorSettings, logger: Any) -> kopf.AiohttpSession:
    """The pod's ServiceAccount, else the kubeconfig. Called by kopf at start, and again after a 401."""
    info = kopf.login_with_service_account(settings=settings) or kopf.login_via_client(settings=settings, logger=logger)
    if info is None:
        raise kopf.LoginError("neither a ServiceAccount nor a kubeconfig was found")
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        trace_configs=[trace.config],
        trust_env=False,
    )
    return kopf.AiohttpSession(server=info.server, default_namespace=info.default_namespace, aiohttp_session=session)
