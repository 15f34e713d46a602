import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.unit.batch_operator.cluster.endpoint import Endpoint


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint() as endpoint:
        yield endpoint


async def test_one_connection_serves_many_reports(endpoint: Endpoint) -> None:
    await endpoint.post()
    await endpoint.post()
    assert endpoint.site._runner.server is not None
    assert len(endpoint.site._runner.server.connections) == 1


@pytest.mark.parametrize("sent", [b"", b"POST /v1/progress HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_connection_that_brings_no_request_is_closed(sent: bytes) -> None:
    async with Endpoint(first_request_seconds=0.2) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.client_context)
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_one_that_brought_a_request_stays_open() -> None:
    async with Endpoint(first_request_seconds=0.1) as endpoint:
        assert (await endpoint.post())[0] == 204
        await asyncio.sleep(0.2)
        assert endpoint.site._runner.server is not None
        assert len(endpoint.site._runner.server.connections) == 1


async def test_a_silent_tcp_connection_is_closed_too() -> None:
    async with Endpoint(first_request_seconds=0.2) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)  # no TLS handshake
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_one_too_many_is_turned_away_and_place_is_free_again_later() -> None:
    async with Endpoint(max_connections=1) as endpoint:
        assert (await endpoint.post())[0] == 204  # kept alive by the session
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)):
            await _read_something(endpoint)
        await endpoint.session.close()
        endpoint.session = aiohttp.ClientSession()
        await asyncio.sleep(0.05)
        assert (await endpoint.post())[0] == 204


async def test_plain_http_gets_nothing(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(b"POST /v1/progress HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def _read_something(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.client_context)
    try:
        await asyncio.wait_for(reader.readexactly(1), 5)
    finally:
        writer.close()
