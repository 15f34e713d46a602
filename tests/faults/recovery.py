"""How long an operator needs after kill -9 with many live jobs: from the start of the next process until every change
that was made while it was down is acted on. `python -m tests.faults recovery --jobs 1000`.

The process is started as the image does it, imports and all. Only the back-offs are shortened.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from batch_operator.api import names
from batch_operator.cluster.resource_paths import BATCH_JOBS, PIPELINES, PODS
from tests.builders import make_pipeline_spec, make_spec
from tests.cluster.layout import CHECKOUT
from tests.fakes import resource_types as kinds
from tests.faults.bench import Bench, custom
from tests.faults.scenarios import pipeline_on
from tests.faults.upstream import Object, until

MOST_SECONDS = 15.0
PODS_PER_NODE = 240
CHANGED = 40
"""Jobs for each sort of change."""
SENDERS = 12
LOOK_SECONDS = 0.25
"""Between two looks at a thousand jobs: they cost time that the operator then lacks."""
_KWOK = "kwok.batch-operator.dev"
_SPEC = make_spec(
    parameters={"worker": {"parallelism": 1}},
    policy={"backoff_seconds": 1, "backoff_limit_seconds": 1, "grace_seconds": 1},
)
SORTS = ("completed", "failed", "pod-deleted", "cancelled", "suspended", "deleted", "new")


@dataclass(frozen=True)
class Figures:
    """Seconds from the start of the process: to its first write, and until all `changes` were acted on."""

    jobs: int
    changes: int
    first: float
    all: float

    @property
    def found(self) -> list[str]:
        if self.all <= MOST_SECONDS:
            return []
        return [f"recovery took {self.all:.1f} s, more than {MOST_SECONDS:.0f} s"]

    def table(self) -> str:
        return (
            f"recovery after kill -9 with {self.jobs} live jobs: the first write after {self.first:.1f} s, "
            f"all {self.changes} changes acted on after {self.all:.1f} s (at most {MOST_SECONDS:.0f})"
        )


class Crowd:
    """Many jobs of one pod each in one namespace, on fake nodes of their own."""

    def __init__(self, bench: Bench, jobs: int) -> None:
        self._bench = bench
        self._upstream = bench.upstream
        self.namespace = f"recovery-{bench.id}"
        self.history = bench.recorder.of(self.namespace)
        self._nodes = [f"fake-{self.namespace}-{number}" for number in range(jobs // PODS_PER_NODE + 2)]
        self.names = [f"job-{number:04}" for number in range(jobs)]
        self.sorts = {sort: self.names[at * CHANGED : (at + 1) * CHANGED] for at, sort in enumerate(SORTS[:-1])}
        self.sorts["new"] = [f"new-{number:04}" for number in range(CHANGED)]
        self._process: Process | None = None

    async def open(self) -> None:
        for node in self._nodes:
            await self._bench.make_node(node, like=self.namespace)
        await self._bench.make_namespace(self.namespace)
        spec = pipeline_on(make_pipeline_spec(), self.namespace)
        await self._upstream.ask("POST", PIPELINES.path(self.namespace), custom("Pipeline", "classify", spec))
        await self.start()
        await each(self.names, self._create)
        await until(self._all_run, "all jobs RUNNING", 300)

    async def close(self) -> None:
        if self._process is not None:
            await self.kill()
        for resource in (BATCH_JOBS, PODS):
            query = "?gracePeriodSeconds=0" if resource is PODS else ""
            await self._upstream.ask("DELETE", resource.path(self.namespace) + query)
        await self._bench.remove([self.namespace], self._nodes)

    async def start(self) -> None:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "KUBECONFIG": self._bench.kubeconfig,
            "BATCH_OPERATOR_NAMESPACE": self.namespace,
            "BATCH_OPERATOR_BIND_ADDRESS": "127.0.0.1",
            "BATCH_OPERATOR_HTTP_PORT": "0",
            "BATCH_OPERATOR_POD_UID": self.namespace,  # the next container of one pod: the Lease is its own
        }
        with (self._bench.directory / f"{self.namespace}.log").open("ab") as log:
            argv = (sys.executable, "-m", "batch_operator")
            self._process = await asyncio.create_subprocess_exec(
                *argv, env=environment, stdout=log, stderr=log, cwd=CHECKOUT
            )

    async def kill(self) -> None:
        assert self._process is not None, "it was started"
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._process = None

    async def change(self) -> None:
        """One thing of each sort, while nobody looks."""
        await each(self.sorts["completed"], lambda name: self._end_pod(name, "0"))
        await each(self.sorts["failed"], lambda name: self._end_pod(name, "1"))
        await each(
            self.sorts["pod-deleted"], lambda name: self._ask("DELETE", PODS.path(self.namespace, self._pod(name)))
        )
        note = {"metadata": {"annotations": {f"{names.GROUP}/cancel-requested-at": "now"}}}
        await each(self.sorts["cancelled"], lambda name: self._patch(name, note))
        await each(self.sorts["suspended"], lambda name: self._patch(name, {"spec": {"suspend": True}}))
        await each(self.sorts["deleted"], lambda name: self._ask("DELETE", BATCH_JOBS.path(self.namespace, name)))
        await each(self.sorts["new"], self._create)
        await until(self._pods_ended, "the pods' ends", 60)

    async def left(self) -> list[str]:
        """Jobs whose change has not been acted on."""
        jobs = {job["metadata"]["name"]: job.get("status") or {} for job in self.history.of(kinds.BATCH_JOBS)}
        pods = {pod["metadata"]["labels"][names.JOB_NAME_LABEL] for pod in self.history.of(kinds.PODS) if _lives(pod)}
        acted: dict[str, Callable[[str], bool]] = {
            "completed": lambda name: jobs[name].get("status") == "COMPLETED",
            "failed": lambda name: jobs[name].get("retry_count") == 1,
            "pod-deleted": lambda name: jobs[name].get("preemption_count") == 1 and name in pods,
            "cancelled": lambda name: jobs[name].get("status") == "CANCELLED",
            "suspended": lambda name: jobs[name].get("status") == "PENDING" and name not in pods,
            "deleted": lambda name: name not in jobs and name not in pods,
            "new": lambda name: name in pods,
        }
        return [f"{sort} {name}" for sort, holds in acted.items() for name in self.sorts[sort] if not holds(name)]

    # -- inside

    async def _create(self, name: str) -> None:
        await self._ask("POST", BATCH_JOBS.path(self.namespace), custom("BatchJob", name, _SPEC))

    async def _end_pod(self, name: str, code: str) -> None:
        notes = {f"{_KWOK}/duration": "1ms", f"{_KWOK}/exit-code": code}
        path = PODS.path(self.namespace, self._pod(name))
        await self._ask("PATCH", path, {"metadata": {"annotations": notes}})

    async def _patch(self, name: str, change: Object) -> None:
        await self._ask("PATCH", BATCH_JOBS.path(self.namespace, name), change)

    async def _ask(self, method: str, path: str, body: Object | None = None) -> None:
        await self._upstream.ask(method, path, body)

    def _pod(self, job: str) -> str:
        labels = {pod["metadata"]["labels"][names.JOB_NAME_LABEL]: pod for pod in self.history.of(kinds.PODS)}
        return str(labels[job]["metadata"]["name"])

    async def _all_run(self) -> bool:
        jobs = self.history.of(kinds.BATCH_JOBS)
        return len([job for job in jobs if (job.get("status") or {}).get("status") == "RUNNING"]) == len(self.names)

    async def _pods_ended(self) -> bool:
        ended = {p["metadata"]["labels"][names.JOB_NAME_LABEL] for p in self.history.of(kinds.PODS) if not _lives(p)}
        there = {p["metadata"]["labels"][names.JOB_NAME_LABEL] for p in self.history.of(kinds.PODS)}
        wanted = {*self.sorts["completed"], *self.sorts["failed"]}
        return wanted <= ended and not {*self.sorts["pod-deleted"]} & there


async def run(bench: Bench, jobs: int) -> Figures:
    crowd = Crowd(bench, jobs)
    try:
        await crowd.open()
        await crowd.kill()
        await crowd.change()
        known = len(crowd.history.seen)
        began = time.monotonic()
        await crowd.start()
        while await crowd.left():
            bench.recorder.check()
            assert time.monotonic() - began < 120, f"not acted on after 120 s: {', '.join((await crowd.left())[:10])}"
            await asyncio.sleep(LOOK_SECONDS)
        written = (seen for seen in crowd.history.seen[known:] if seen.resource is kinds.BATCH_JOBS)
        first = next(seen.at for seen in written if seen.type == "MODIFIED")
        return Figures(jobs, CHANGED * len(SORTS), first - began, time.monotonic() - began)
    finally:
        await crowd.close()


def _lives(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


async def each(todo: Iterable[str], one: Callable[[str], Awaitable[None]]) -> None:
    waiting = list(todo)

    async def send() -> None:
        while waiting:
            await one(waiting.pop())

    await asyncio.gather(*(send() for _ in range(SENDERS)))
