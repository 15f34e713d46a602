"""Who submits: a process of its own with its own account, so that no contender pays for it, and none is believed.

`python -m tests.bench.submitter <collection> <bodies.jsonl> [--rate N]`, KUBECONFIG in the environment. It opens its
connections, prints `ready`, and at a line on its input posts the bodies, which were encoded beforehand: as fast as 32
connections go (closed loop), or so many a second whatever comes back (open loop: a slow server gets no mercy). Then it
prints a JSON line: how many, in how long, how much of the processor, and how late the latest one was. With --steps it
posts one for each line. Used by runs.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.contender import Desk, Object
from tests.bench.processes import Child, keep_quiet
from tests.faults.upstream import Refused, Upstream

CONNECTIONS = 32
SUBMITTED_SECONDS = 60.0
"""Beyond the end of the jobs, which can only end once they are submitted."""
ACCOUNT = "submitter"
_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Submitted:
    """What it says of itself."""

    jobs: int
    seconds: float
    cpu_seconds: float
    latest: float
    """Seconds behind its plan, at worst; 0 in a closed loop."""


@dataclass
class Submitter:
    """The process, seen from the harness."""

    child: Child

    @classmethod
    async def start(
        cls,
        desk: Desk,
        collection: str,
        bodies: Sequence[Object],
        *,
        rate: float = 0.0,
        steps: bool = False,
    ) -> Self:
        path = desk.directory / "bodies.jsonl"
        path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
        arguments = [collection, str(path), "--rate", str(rate), *(["--steps"] if steps else [])]
        environment = {"KUBECONFIG": str(desk.kubeconfig(ACCOUNT))}
        log = desk.directory / "submitter.log"
        return cls(await Child.start("the submitter", "tests.bench.submitter", arguments, log, environment))

    async def submit(self) -> Submitted:
        """All of them, or with `steps` the next one."""
        await self.child.tell("go")
        return Submitted(**json.loads(await self.child.line()))

    @asynccontextmanager
    async def submitting(self) -> AsyncIterator[asyncio.Task[Submitted]]:
        """`submit` beside the body, over when that is left."""
        task = asyncio.create_task(self.submit())
        try:
            yield task
        finally:
            await asyncio.wait_for(task, SUBMITTED_SECONDS)

    async def end(self) -> None:
        await self.child.end()


async def _closed_loop(send: Callable[[bytes], Awaitable[None]], bodies: Sequence[bytes]) -> float:
    left = iter(bodies)

    async def go_on() -> None:
        for body in left:
            await send(body)

    await asyncio.gather(*(go_on() for _ in range(CONNECTIONS)))
    return 0.0


async def _open_loop(send: Callable[[bytes], Awaitable[None]], bodies: Sequence[bytes], rate: float) -> float:
    began = time.monotonic()
    latest = 0.0
    async with asyncio.TaskGroup() as group:
        for number, body in enumerate(bodies):
            ahead = began + number / rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            latest = max(latest, -ahead)
            group.create_task(_as_task(send, body))
    return latest


async def _as_task(send: Callable[[bytes], Awaitable[None]], body: bytes) -> None:
    await send(body)


async def _run(collection: str, bodies: Sequence[bytes], rate: float, steps: bool) -> None:
    async with await Upstream.connect(os.environ["KUBECONFIG"]) as upstream:

        async def send(body: bytes) -> None:
            answer = await upstream.send("POST", collection, body, _HEADERS)
            if answer.code != 201:
                raise Refused(f"POST {collection}: {answer.code} {answer.body[:300]!r}")

        await asyncio.gather(*(upstream.send("GET", f"{collection}?limit=1") for _ in range(CONNECTIONS)))
        print("ready", flush=True)
        for some in [[body] for body in bodies] if steps else [bodies]:
            await asyncio.to_thread(sys.stdin.readline)
            began, computed = time.monotonic(), time.process_time()
            latest = await (_open_loop(send, some, rate) if rate else _closed_loop(send, some))
            said = {"jobs": len(some), "seconds": time.monotonic() - began, "latest": latest}
            print(json.dumps({**said, "cpu_seconds": time.process_time() - computed}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("collection")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--steps", action="store_true")
    chosen = parser.parse_args()
    keep_quiet()
    asyncio.run(_run(chosen.collection, chosen.bodies.read_bytes().splitlines(), chosen.rate, chosen.steps))


if __name__ == "__main__":
    main()
