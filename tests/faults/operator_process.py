"""Operator processes on this host: started by the zygote, watched and killed by pidfd. Used by lane and generated."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.layout import CHECKOUT


class OperatorProcess:
    """One process that lives until it is killed, or ends by itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1
            self.ended.set()
        else:
            self._loop.add_reader(self._handle, self._has_ended)

    def signal(self, number: signal.Signals) -> None:
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def cpu_seconds(self) -> float:
        """What it has computed so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def kill(self) -> None:
        """kill -9; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        await self.ended.wait()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """SIGTERM, as the kubelet does it."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await self.ended.wait()
        except TimeoutError:
            await self.kill()

    def _has_ended(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        self._handle = -1
        self.ended.set()


class Zygote:
    """Use it as `async with`; operators that live at its end are ended with it."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> "Zygote":
        argv = (sys.executable, "-m", "tests.faults.zygote")
        self._process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, cwd=CHECKOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None, "it was entered"
        assert self._process.stdin is not None, "it has a pipe"
        self._process.stdin.close()
        await self._process.wait()

    async def start(self, environment: Mapping[str, str], log: Path, bug: str = "") -> OperatorProcess:
        assert self._process is not None, "it was entered"
        assert self._process.stdin is not None, "it has pipes"
        assert self._process.stdout is not None, "it has pipes"
        order = json.dumps({"environment": {**_inherited(), **environment}, "log": str(log), "bug": bug})
        async with self._turn:
            self._process.stdin.write(order.encode() + b"\n")
            answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that starts operators has ended; its last words are above")
        return OperatorProcess(int(answer))


def _inherited() -> dict[str, str]:
    """Without a cluster's own variables, or a proxy's: an operator here talks to its kubeconfig's server only."""
    return {name: os.environ[name] for name in ("HOME", "PATH", "LANG", "TMPDIR") if name in os.environ}
