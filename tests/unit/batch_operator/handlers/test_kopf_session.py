"""Whether kopf's watches live is read off the requests of its session."""

import time

import aiohttp
import pytest
from aiohttp import web

from batch_operator.cluster.metrics import Metrics
from batch_operator.handlers.kopf_session import SILENT_SECONDS, WatchTrace

PATH = "/apis/batch-operator.dev/v1alpha1/batchjobs"


async def get(trace: WatchTrace, status: int = 200) -> None:
    """One request of kopf's to a server that answers with `status`."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with (
        aiohttp.ClientSession(trace_configs=[trace.config]) as session,
        session.get(f"http://{host}:{port}{PATH}"),
    ):
        pass
    await runner.cleanup()


async def test_a_watch_that_connected_lives() -> None:
    trace = WatchTrace()
    assert trace.trouble(PATH) == "not connected yet"
    await get(trace)
    assert trace.trouble(PATH) is None


async def test_a_refused_watch_does_not() -> None:
    trace = WatchTrace()
    await get(trace, status=403)
    assert trace.trouble(PATH) == "not connected yet"


async def test_a_watch_that_does_not_connect_again_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = WatchTrace()
    await get(trace)
    later = time.monotonic() + SILENT_SECONDS + 1
    monkeypatch.setattr("batch_operator.handlers.kopf_session.time.monotonic", lambda: later)
    trouble = trace.trouble(PATH)
    assert trouble is not None
    assert "last connected" in trouble


async def test_metrics_show_its_age() -> None:
    trace, metrics = WatchTrace(), Metrics("test")
    metrics.track_watch(trace.watch("batchjobs", PATH))
    await get(trace)
    name = "batch_operator_watch_last_activity_seconds"
    assert (metrics.registry.get_sample_value(name, {"resource": "batchjobs"}) or 99) < 30
