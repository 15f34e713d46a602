"""One watch stream through the fault proxy: line by line, and what a fault makes of a line. Used by proxy."""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp
from aiohttp import web

from tests.faults import faults

SILENT_SECONDS = 100.0
DROPPED_SECONDS = 1.0
SWAP_SECONDS = 2.0
_MAX_LINE = 64 << 20
_NOT_EVENTS = (b'{"type":"BOOKMARK"', b'{"type":"ERROR"')


async def pass_on(
    source: aiohttp.StreamReader, reply: web.StreamResponse, request: web.Request, fault_of: Callable[[], str]
) -> None:
    """Until the API server ends the stream, or a fault does. `fault_of` is asked once per event, bookmarks apart."""
    while line := await source.readuntil(b"\n", max_size=_MAX_LINE):
        kind = faults.NONE if line.startswith(_NOT_EVENTS) else fault_of()
        if kind in (*faults.WATCH_ENDS, faults.WATCH_DROP):
            await _end(kind, line, reply, request)
            return
        if kind == faults.WATCH_LATE:
            await asyncio.sleep(faults.DELAY_SECONDS)
        if kind == faults.WATCH_SWAP:
            line = await _next(source) + line
        await reply.write(line * 2 if kind == faults.WATCH_TWICE else line)


async def _end(kind: str, line: bytes, reply: web.StreamResponse, request: web.Request) -> None:
    if kind == faults.WATCH_DROP:
        await asyncio.sleep(DROPPED_SECONDS)
    if kind == faults.WATCH_SILENT:
        await until_gone(request, SILENT_SECONDS)
    if kind in (faults.WATCH_GONE, faults.WATCH_DROP, faults.WATCH_ERROR, faults.WATCH_BUSY):
        await reply.write(faults.error_event(faults.WATCH_GONE if kind == faults.WATCH_DROP else kind))
    if kind == faults.WATCH_HALF:
        await reply.write(line[: len(line) // 2])
        if request.transport is not None:
            request.transport.abort()


async def _next(source: aiohttp.StreamReader) -> bytes:
    """The next line, or nothing where none comes soon."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SWAP_SECONDS):
            return await source.readuntil(b"\n", max_size=_MAX_LINE)
    return b""


async def until_gone(request: web.Request, seconds: float) -> None:
    """Until the client has given up, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while request.transport is not None and not request.transport.is_closing():
                await asyncio.sleep(0.05)
