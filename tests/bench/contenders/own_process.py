"""A contender that is a process of this host: started, waited for and ended. Used by jobset and plain_kopf."""

import asyncio
import os
import socket
from asyncio import to_thread
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from tests.cluster import processes
from tests.cluster.errors import ClusterError

_READY_SECONDS = 30.0
_END_SECONDS = 10.0


class OwnProcess:
    """From `start` to `stop`."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self._process = processes.start(name, argv, log, env={**os.environ, **environment})

    @property
    def pid(self) -> int:
        return self._process.pid

    def last_words(self) -> str:
        return processes.last_lines(self._log)

    async def wait_ready(self, url: str) -> None:
        """Until `url` answers with 200. Raises ClusterError where the process ends, or takes too long."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while not await _answers(session, url):
                self.check_alive()
                if asyncio.get_running_loop().time() > deadline:
                    raise ClusterError(f"{self._process.name}: no answer from {url}; {self.last_words()}")
                await asyncio.sleep(0.05)

    def check_alive(self) -> None:
        if not processes.alive(self._process):
            raise ClusterError(f"{self._process.name} ended by itself; {self.last_words()}")

    async def stop(self) -> None:
        if await to_thread(processes.stop, [self._process], _END_SECONDS):
            raise ClusterError(f"{self._process.name} (pid {self.pid}) does not end, not even by SIGKILL")


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def free_ports(count: int) -> list[int]:
    """Of the loopback address, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
