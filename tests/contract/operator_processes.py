"""Real operator processes on this host, for tests that kill and stop them; and a proxy that notes what one sends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from aiohttp import web

from batch_operator.cluster.client import Client

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
IMAGE_ENV = {"PYTHONMALLOC": "malloc"}
"""What the image sets that changes how the process behaves (operator/Dockerfile)."""


@dataclass
class OperatorProcess:
    """`python -m batch_operator`; its log goes to a file."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        """SIGSTOP; returns when the kernel has stopped it."""
        self.process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.process.pid}/stat")
        deadline = time.monotonic() + 5
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "the process does not stop"
            time.sleep(0.01)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def answer(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()


class Operators:
    """Starts processes that want one Lease, and ends them all."""

    def __init__(self, kubeconfig: str, namespace: str, directory: Path, **settings: object) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._directory = directory
        self._settings = settings
        self._all: list[OperatorProcess] = []

    def start(self, name: str, kubeconfig: str = "") -> OperatorProcess:
        port = _free_port()
        settings = {
            "namespace": self._namespace,
            "pod_name": name,
            "bind_address": "127.0.0.1",
            "http_port": port,
            **self._settings,
        }
        given = {f"BATCH_OPERATOR_{key.upper()}": str(value) for key, value in settings.items()}
        log_file = self._directory / f"{name}.log"
        with log_file.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "batch_operator"],
                env={**os.environ, **IMAGE_ENV, "KUBECONFIG": kubeconfig or self._kubeconfig, **given},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that it can be given a share of the processor of its own
            )
        started = OperatorProcess(name, process, port, log_file)
        self._all.append(started)
        return started

    def end(self) -> None:
        for operator in self._all:
            if operator.process.poll() is None:
                operator.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Recorder:
    """A plain-HTTP proxy in front of the API server. `writes`: (method, path) of each one that came in."""

    client: Client
    directory: Path
    writes: list[tuple[str, str]] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None

    async def start(self) -> str:
        """-> a kubeconfig that leads here."""
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{tail:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [context],
            "current-context": "c",
        }
        path = self.directory / "through-the-proxy.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if request.method in WRITING:
            self.writes.append((request.method, request.path))
        credentials = self.client.credentials
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=credentials.ssl_context(), limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(None))
        async with self._session.request(
            request.method,
            f"{credentials.server}{request.path_qs}",
            data=await request.read() or None,
            headers={key: request.headers[key] for key in ("Accept", "Content-Type") if key in request.headers},
            skip_auto_headers=("Content-Type",),
        ) as answer:
            passed_on = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            with suppress(ConnectionResetError):  # the one who asked has gone
                await passed_on.prepare(request)
                async for chunk in answer.content.iter_any():
                    await passed_on.write(chunk)
            return passed_on


@contextmanager
def measured(record: Callable[[str, object], None], what: str) -> Iterator[Callable[[], float]]:
    """Notes in the test's report how long the block took."""
    began = time.monotonic()
    yield lambda: time.monotonic() - began
    record(what, round(time.monotonic() - began, 2))
