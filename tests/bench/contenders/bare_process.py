"""A bare script: plays the operator's own writes (own_writes.py) for every BatchJob of a namespace, without a thought.

`python -m tests.bench.contenders.bare_process <namespace> <script.json>`, KUBECONFIG in the environment; prints `ready`
once both its watches are open. It has no state that outlives it, checks nothing and repeats nothing: what fails ends
it. The script has `configmap` ("" for none), `pods` and `patches`, of status: at first sight, once a pod runs, at the
end; "" for none. Started by contenders.bare.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PODS
from tests.bench.own_writes import NAME, NAMESPACE, UID, VERSION
from tests.bench.processes import keep_quiet
from tests.bench.watching import follow
from tests.faults.upstream import Object, Refused, Upstream

AT_ONCE = 64
"""Writes in flight: of two thousand at once the API server refuses some (429), and whoever repeats them has logic."""
_JSON = {"Content-Type": "application/json"}
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Job:
    name: str
    uid: str
    version: str
    running: bool = False
    succeeded: set[str] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Its patches follow each other, since each needs the resourceVersion of the one before."""

    def fill(self, body: str) -> bytes:
        return body.replace(NAME, self.name).replace(UID, self.uid).replace(UID[:6], self.uid[:6]).encode()


class Bare:
    def __init__(self, upstream: Upstream, namespace: str, script: dict[str, Any]) -> None:
        self._upstream = upstream
        self._namespace = namespace
        self._configmap: str = script["configmap"]
        self._pods: list[str] = script["pods"]
        self._patches: list[str] = script["patches"]
        self._jobs: dict[str, Job] = {}
        self._writes = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        opened = [asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_failed())
            for resource, seen, event in ((PODS, self._pod_seen, opened[0]), (BATCH_JOBS, self._job_seen, opened[1])):
                group.create_task(follow(self._upstream, resource.path(self._namespace), seen, event))
            for event in opened:
                await event.wait()
            print("ready", flush=True)

    # -- what it sees

    def _job_seen(self, kind: str, raw: Object) -> None:
        meta = raw["metadata"]
        if kind == "ADDED":
            self._jobs[meta["name"]] = job = Job(meta["name"], meta["uid"], meta["resourceVersion"])
            self._start(self._begin(job))

    def _pod_seen(self, kind: str, raw: Object) -> None:
        phase = (raw.get("status") or {}).get("phase")
        if kind != "MODIFIED" or phase not in ("Running", "Succeeded"):
            return
        job = self._jobs[raw["metadata"]["ownerReferences"][0]["name"]]
        if not job.running:
            job.running = True
            self._start(self._patch(job, 1))
        if phase == "Succeeded" and raw["metadata"]["name"] not in job.succeeded:
            job.succeeded.add(raw["metadata"]["name"])
            if len(job.succeeded) == len(self._pods):
                self._start(self._patch(job, 2))

    # -- what it writes

    async def _begin(self, job: Job) -> None:
        beside = [self._create(CONFIG_MAPS.path(self._namespace), self._configmap, job)] if self._configmap else []
        await asyncio.gather(self._patch(job, 0), *beside)
        pods = PODS.path(self._namespace)
        await asyncio.gather(*(self._create(pods, body, job) for body in self._pods))

    async def _create(self, path: str, body: str, job: Job) -> None:
        await self._send("POST", path, job.fill(body), _JSON)

    async def _patch(self, job: Job, number: int) -> None:
        if not self._patches[number]:
            return
        async with job.turn:
            body = job.fill(self._patches[number].replace(VERSION, job.version))
            path = f"{BATCH_JOBS.path(self._namespace, job.name)}/status"
            answer = await self._send("PATCH", path, body, _MERGE_PATCH)
            job.version = answer["metadata"]["resourceVersion"]

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Object:
        async with self._writes:
            answer = await self._upstream.send(method, path, body, headers)
        if answer.code >= 300:
            raise Refused(f"{method} {path}: {answer.code} {answer.body[:300]!r}")
        return answer.object if method == "PATCH" else {}

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(error)

    async def _until_failed(self) -> None:
        await self._failed


async def main() -> None:
    keep_quiet()
    namespace, script = sys.argv[1], Path(sys.argv[2]).read_text()
    async with await Upstream.connect(os.environ["KUBECONFIG"]) as upstream:
        await Bare(upstream, namespace, json.loads(script.replace(NAMESPACE, namespace))).run()


if __name__ == "__main__":
    asyncio.run(main())
