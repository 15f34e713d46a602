"""The fault proxy against a server that only counts: what is let through, what is answered, what is cut."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.proxy import FaultProxy
from tests.faults.upstream import Upstream

PODS = "/api/v1/namespaces/team/pods"


@dataclass
class Site:
    """The server behind the proxy, and a client before it."""

    proxy: FaultProxy
    session: aiohttp.ClientSession
    asked: list[str] = field(default_factory=list)
    crashes: int = 0

    async def post(self, path: str = PODS) -> tuple[int, Any]:
        async with self.session.post(f"http://127.0.0.1:{self.proxy.port}{path}", json={"kind": "Pod"}) as answer:
            return answer.status, await answer.json()

    async def watch(self) -> list[str]:
        """The types and names in the stream, until it ends."""
        url = f"http://127.0.0.1:{self.proxy.port}/api/v1/pods?watch=true"
        async with self.session.get(url) as answer:
            lines = (await answer.read()).decode().splitlines()
        events = [json.loads(line) for line in lines]
        return [e["type"] if e["type"] == "ERROR" else f"{e['type']} {e['object']['metadata']['name']}" for e in events]

    def arm(self, kind: str, k: int) -> None:
        async def crash() -> None:
            self.crashes += 1

        self.proxy.arm(Fault(kind, k), crash)
        self.proxy.open()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}}, status=201)
        reply = web.StreamResponse()
        await reply.prepare(request)
        for name in ("a", "b", "c"):
            event = json.dumps({"type": "ADDED", "object": {"metadata": {"name": name}}}, separators=(",", ":"))
            await reply.write(event.encode() + b"\n")
        return reply

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    credentials: Any = SimpleNamespace(server=f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with aiohttp.ClientSession() as behind, aiohttp.ClientSession() as before:
        proxy = FaultProxy(Upstream(cast(Any, credentials), behind), "team")
        await proxy.start()
        yield Site(proxy, before, asked)
        await proxy.stop()
    await runner.cleanup()


async def test_the_operator_sees_only_its_namespace(site: Site) -> None:
    site.arm(faults.NONE, 0)
    for path in ("/api/v1/pods", "/apis/batch-operator.dev/v1alpha1/batchjobs", "/api/v1/nodes"):
        await site.post(path)
    assert site.asked == [
        "POST /api/v1/namespaces/team/pods",
        "POST /apis/batch-operator.dev/v1alpha1/namespaces/team/batchjobs",
        "POST /api/v1/nodes",
    ]


@pytest.mark.parametrize("kind", faults.REFUSED)
async def test_a_refused_write_never_reaches_the_server(site: Site, kind: str) -> None:
    site.arm(kind, 1)
    assert (await site.post())[0] == 201
    code, status = await site.post()
    assert (code, status["code"]) == (int(kind[:3]), int(kind[:3]))
    assert (await site.post())[0] == 201, "a fault strikes once"
    assert len(site.asked) == 2
    assert site.proxy.struck


@pytest.mark.parametrize("kind", faults.APPLIED_AND_REFUSED)
async def test_a_write_may_be_applied_and_refused(site: Site, kind: str) -> None:
    site.arm(kind, 0)
    assert (await site.post())[0] == int(kind[:3])
    assert len(site.asked) == 1
    assert site.proxy.writes[0].version == 7, "the history knows what the operator does not"


@pytest.mark.parametrize(
    ("kind", "applied"), [(faults.RESET_BEFORE, 0), (faults.RESET_AFTER, 1), (faults.TRUNCATED, 1)]
)
async def test_a_connection_breaks_before_or_after_the_commit(site: Site, kind: str, applied: int) -> None:
    site.arm(kind, 0)
    with pytest.raises(aiohttp.ClientError):
        await site.post()
    assert len(site.asked) == applied


@pytest.mark.parametrize(
    ("kind", "applied", "answered"),
    [(faults.CRASH_BEFORE, 0, False), (faults.CRASH_AFTER_COMMIT, 1, False), (faults.CRASH_AFTER_REPLY, 1, True)],
)
async def test_nothing_comes_through_after_a_crash(site: Site, kind: str, applied: int, answered: bool) -> None:
    site.arm(kind, 0)
    if answered:
        assert (await site.post())[0] == 201
    else:
        with pytest.raises(aiohttp.ClientError):
            await site.post()
    with pytest.raises(aiohttp.ClientError):
        await site.post()
    assert (len(site.asked), site.crashes) == (applied, 1)
    site.proxy.open()
    assert (await site.post())[0] == 201, "the next process has its own way"


@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        pytest.param(faults.NONE, ["ADDED a", "ADDED b", "ADDED c"], id="calm"),
        pytest.param(faults.WATCH_CLOSED, ["ADDED a"], id="closed"),
        pytest.param(faults.WATCH_GONE, ["ADDED a", "ERROR"], id="410"),
        pytest.param(faults.WATCH_TWICE, ["ADDED a", "ADDED b", "ADDED b", "ADDED c"], id="twice"),
        pytest.param(faults.WATCH_SWAP, ["ADDED a", "ADDED c", "ADDED b"], id="swap"),
    ],
)
async def test_a_stream_s_second_event(site: Site, kind: str, heard: list[str]) -> None:
    site.arm(kind, 1)
    assert await site.watch() == heard


async def test_half_a_line_is_no_line(site: Site) -> None:
    site.arm(faults.WATCH_HALF, 1)
    with pytest.raises(aiohttp.ClientError):
        await site.watch()


async def test_leases_are_not_counted(site: Site) -> None:
    site.arm("500", 0)
    assert (await site.post("/apis/coordination.k8s.io/v1/namespaces/team/leases"))[0] == 201
    assert (await site.post())[0] == 500


async def test_the_proxy_waits_for_what_is_under_way(site: Site) -> None:
    site.arm(faults.NONE, 0)
    asking = asyncio.create_task(site.post())
    while not site.asked:
        await asyncio.sleep(0)
    await site.proxy.shut()
    assert (await asking)[0] == 201
