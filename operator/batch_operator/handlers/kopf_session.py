"""kopf's connection to the API server, made by us so that we can see whether its watches live.

kopf ends a silent stream after inactivity_timeout and every stream after server_timeout, and connects again; it
ends the process where a watcher fails. So a watch lives as long as it connects again in time, and that is what
the session's trace notes. Called by handlers.lifecycle.
"""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
import kopf

from batch_operator.cluster.credentials import Credentials
from batch_operator.handlers.kopf_lists import KopfLists

SERVER_TIMEOUT_SECONDS = 240
"""How long the API server keeps one watch open; kopf then opens the next."""
SILENT_SECONDS = SERVER_TIMEOUT_SECONDS + 90


@dataclass(frozen=True, slots=True)
class KopfWatch:
    """One of kopf's watches, as metrics read it."""

    trace: "WatchTrace"
    resource: str
    path: str

    @property
    def last_activity(self) -> float:
        """Monotonic seconds; before it first connected, when the process began to look."""
        return self.trace.connected.get(self.path, self.trace.began)


class WatchTrace:
    """When kopf last connected each watched collection (URL path -> monotonic seconds)."""

    def __init__(self) -> None:
        self.connected: dict[str, float] = {}
        self.began = time.monotonic()
        self.config = aiohttp.TraceConfig()
        self.config.on_request_end.append(self._on_request_end)

    async def _on_request_end(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if params.method == "GET" and params.response.status == 200:
            self.connected[params.url.path] = time.monotonic()

    def watch(self, resource: str, path: str) -> KopfWatch:
        return KopfWatch(self, resource, path)

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


async def login(trace: WatchTrace, lists: KopfLists, credentials: Credentials) -> kopf.AiohttpSession:
    """A session with our own client's credentials. Called by kopf at start, and again after a 401.

    Not kopf's own logins: in a pod they call the API server by its DNS name, and not every cluster has DNS.
    """
    authorization = await credentials.authorization()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=credentials.ssl_context()),
        headers={"Authorization": authorization} if authorization else None,
        trace_configs=[trace.config],
        middlewares=(lists,),
    )
    return kopf.AiohttpSession(server=credentials.server, aiohttp_session=session)
