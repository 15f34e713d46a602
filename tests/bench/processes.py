"""Processes of the benchmark: started with a line that says they are ready, measured from /proc, ended by their pid."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from tests.cluster.layout import CHECKOUT

READY_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Child:
    """A Python module of ours that talks over its standard streams; stderr goes to a file."""

    name: str
    process: Process
    log: Path

    @classmethod
    async def start(
        cls, name: str, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> Self:
        """Returns once it has printed its first line."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                cwd=CHECKOUT,
                env={**os.environ, **environment},
            )
        child = cls(name, process, log)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await child.line()
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def pid(self) -> int:
        return self.process.pid

    async def line(self) -> str:
        """The next that it prints. Raises RuntimeError where it has ended."""
        assert self.process.stdout is not None, "it is a pipe"
        text = (await self.process.stdout.readline()).decode().strip()
        if not text:
            raise RuntimeError(f"{self.name} ended; its log: {self.log}")
        return text

    async def tell(self, line: str) -> None:
        assert self.process.stdin is not None, "it is a pipe"
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    def check(self) -> None:
        """Raises RuntimeError where it has ended."""
        if self.process.returncode is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}; its log: {self.log}")

    async def end(self) -> None:
        """kill -9: it keeps nothing that anybody wants."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


def keep_quiet() -> None:
    """What the project's own modules log goes to stderr: a child's stdout is for what it has to say."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def cpu_seconds(pids: Iterable[int]) -> float:
    """What they have computed so far, user and system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def rss_mib(pids: Iterable[int]) -> float:
    """What they have resident now."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
    return total / 1024
