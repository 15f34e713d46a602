"""A list and the watch that follows it, raw, for the benchmark's own clients (the harness and the bare scripts)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson
from yarl import URL

from tests.faults.upstream import Object, Refused, Upstream

Seen = Callable[[str, Object], None]
"""Called with ADDED, MODIFIED or DELETED and the object; the first list's items are ADDED."""
_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)


async def follow(upstream: Upstream, path: str, seen: Seen, opened: asyncio.Event) -> None:
    """Never returns. Sets `opened` once nothing that comes can be missed; the API server ends watches when it likes,
    and they go on from where they were. Raises Refused for a version that is too old by then."""
    found = await upstream.ask("GET", path)
    for item in found["items"]:
        seen("ADDED", item)
    version = found["metadata"]["resourceVersion"]
    opened.set()
    while True:
        url = URL(f"{upstream.server}{path}?watch=true&resourceVersion={version}", encoded=True)
        try:
            async with upstream.session.get(url, timeout=_NO_LIMIT) as answer:
                if answer.status != 200:
                    raise Refused(f"watch of {path}: {answer.status} {(await answer.text())[:300]}")
                version = await _read(answer, seen, version)
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionError):
            continue


@asynccontextmanager
async def following(upstream: Upstream, path: str, seen: Seen) -> AsyncIterator[asyncio.Task[None]]:
    """The same beside the body, which begins once nothing can be missed. A watch that cannot begin raises; one that
    breaks later is the task's error."""
    opened = asyncio.Event()
    watch = asyncio.create_task(follow(upstream, path, seen, opened))
    begun = asyncio.create_task(opened.wait())
    try:
        await asyncio.wait([watch, begun], return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            await watch
        yield watch
    finally:
        watch.cancel()
        begun.cancel()
        await asyncio.gather(watch, begun, return_exceptions=True)


async def _read(answer: aiohttp.ClientResponse, seen: Seen, version: str) -> str:
    """Until the server ends it -> the newest version that was seen."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                raise Refused(f"watch: {event['object']}")
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                seen(event["type"], event["object"])
    return version
