"""`Upstream`: the real API server as the fault proxy and the scenarios reach it: raw answers, of whatever code."""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from batch_operator.cluster.credentials import Credentials

Object = dict[str, Any]
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def object(self) -> Object:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Refused(AssertionError):
    """The API server refused what a scenario cannot do without."""


class Upstream:
    """One connection pool. Use it as `async with await Upstream.connect(kubeconfig)`."""

    def __init__(self, credentials: Credentials, session: aiohttp.ClientSession) -> None:
        self._credentials = credentials
        self.session = session
        self.server = credentials.server

    @classmethod
    async def connect(cls, kubeconfig: str) -> Self:
        credentials = await Credentials.load(kubeconfig)
        context: ssl.SSLContext | bool = credentials.ssl_context() if credentials.server.startswith("https") else False
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        authorization = await credentials.authorization()
        headers = {"Authorization": authorization} if authorization else {}
        session = aiohttp.ClientSession(connector=connector, headers=headers, skip_auto_headers=["Accept-Encoding"])
        return cls(credentials, session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        await self._credentials.close()

    async def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`path` with its query."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with self.session.request(
            method, URL(self.server + path, encoded=True), data=body, headers=headers, timeout=timeout
        ) as answer:
            return Answer(answer.status, await answer.read(), answer.headers)

    async def ask(self, method: str, path: str, body: Any = None, *, may_fail: tuple[int, ...] = ()) -> Object:
        """JSON in and out. Raises Refused for an error that is not in `may_fail`."""
        sent = None if body is None else json.dumps(body).encode()
        headers = _MERGE_PATCH if method == "PATCH" else {"Content-Type": "application/json"}
        answer = await self.send(method, path, sent, headers)
        if answer.code >= 400 and answer.code not in may_fail:
            raise Refused(f"{method} {path}: {answer.code} {answer.body[:500].decode(errors='replace')}")
        return answer.object

    async def exists(self, path: str) -> bool:
        return (await self.send("GET", path)).code == 200


async def until(true: Callable[[], Awaitable[bool]], what: str, seconds: float = 30.0) -> None:
    """Asks every tenth of a second. Raises AssertionError naming what did not come true."""
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, f"{what}: not so after {seconds:.0f} s"
        await asyncio.sleep(0.1)
