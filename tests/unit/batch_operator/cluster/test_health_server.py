from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_operator.cluster.health_server import HealthServer
from batch_operator.cluster.metrics import Metrics


class Checks:
    def __init__(self) -> None:
        self.watch: str | None = None
        self.synced: str | None = None
        self.broken = False

    def ask_watch(self) -> str | None:
        if self.broken:
            raise RuntimeError("boom")
        return self.watch


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
async def url(checks: Checks) -> AsyncIterator[str]:
    metrics = Metrics("1")
    metrics.reported(204)
    server = HealthServer(metrics.registry, {"watch": checks.ask_watch}, {"synced": lambda: checks.synced})
    port = await server.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await server.stop()


async def get(url: str, **headers: str) -> tuple[int, Any, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        kind = answer.headers["Content-Type"]
        return answer.status, await (answer.json() if "json" in kind else answer.text()), kind


async def test_all_is_well(url: str) -> None:
    assert (await get(f"{url}/healthz"))[:2] == (200, {"status": "ok", "checks": ["watch"]})
    assert (await get(f"{url}/readyz"))[:2] == (200, {"status": "ok", "checks": ["synced", "watch"]})


async def test_what_is_wrong_is_named(url: str, checks: Checks) -> None:
    checks.watch = "pods: no word from the API server for 151 s"
    failing = {"status": "failing", "failing": {"watch": "pods: no word from the API server for 151 s"}}
    assert (await get(f"{url}/healthz"))[:2] == (503, failing)
    assert (await get(f"{url}/readyz"))[:2] == (503, failing)
    checks.watch = None
    assert (await get(f"{url}/healthz"))[0] == 200


async def test_not_ready_is_not_unhealthy(url: str, checks: Checks) -> None:
    checks.synced = "pods: not listed yet"
    assert (await get(f"{url}/healthz"))[0] == 200
    assert (await get(f"{url}/readyz"))[0] == 503


async def test_a_check_that_breaks_is_a_failed_check(url: str, checks: Checks) -> None:
    checks.broken = True
    status, answer, _ = await get(f"{url}/healthz")
    assert status == 503
    assert "boom" in answer["failing"]["watch"]


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_in_the_format_that_was_asked_for(url: str, accept: str) -> None:
    status, text, kind = await get(f"{url}/metrics", Accept=accept)
    assert status == 200
    assert kind.startswith("application/openmetrics-text" if accept else "text/plain")
    if not accept:
        names = {family.name for family in text_string_to_metric_families(text)}
        assert "batch_operator_progress_reports" in names
    assert "batch_operator_progress_reports_total" in text


async def test_nothing_else_is_there(url: str) -> None:
    assert (await get(f"{url}/v1/progress"))[0] == 404
