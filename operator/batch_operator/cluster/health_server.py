"""The plain HTTP port: /metrics for Prometheus, /healthz and /readyz for the kubelet. Run by main.

A check is a callable that says in one sentence what is wrong, or None. /healthz asks those that a restart
would help, /readyz all.
"""

from collections.abc import Callable, Mapping

import orjson
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str | None]

log = structlog.get_logger(__name__)


class HealthServer:
    """Checks by name. A check that raises counts as failed."""

    def __init__(self, registry: CollectorRegistry, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._registry = registry
        self._live = dict(live)
        self._ready = {**live, **ready}
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> int:
        """Binds and listens; returns the port, which the system chooses where 0 was asked for. Raises
        OSError.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer("healthz", self._live)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer("readyz", self._ready)


def _answer(probe: str, checks: Mapping[str, Check]) -> web.Response:
    wrong = {name: words for name, check in checks.items() if (words := _asked(name, check)) is not None}
    if wrong:
        log.warning("probe failed", probe=probe, failing=wrong)
    body = {"status": "failing", "failing": wrong} if wrong else {"status": "ok", "checks": sorted(checks)}
    return web.Response(status=503 if wrong else 200, body=orjson.dumps(body), content_type="application/json")


def _asked(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        log.exception("check failed", check=name)
        return f"the check itself failed: {error!r}"
