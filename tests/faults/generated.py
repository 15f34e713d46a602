"""Generated objects against the real API server while an operator lives: none stops it, none delays another job.

Beside the objects a canary job is made every few tenths of a second, in another namespace; how long it takes to its
first pod tells what the others cost it. `python -m tests.faults generated --count 10000`.
"""

import asyncio
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from batch_operator.api import names
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PIPELINES, PODS
from tests.builders import make_pipeline_spec, make_spec
from tests.fakes import resource_types as kinds
from tests.faults.bench import Bench, custom
from tests.faults.history import Seen
from tests.faults.operator_process import OperatorProcess
from tests.faults.scenarios import pipeline_on
from tests.faults.strategies import Case, as_json, cases
from tests.faults.upstream import Object, until

CHUNK = 250
SENDERS = 3
CANARY_EVERY_SECONDS = 0.4
HEARTBEAT_SECONDS = 0.02
CALM_CANARIES = 10
MOST_DELAY_SECONDS = 1.0
HANDLED_SECONDS = 30.0
_NO_SCHEMA = {"worker": {"type": "no such type"}}
Say = Callable[[str], None]


@dataclass
class Figures:
    """`reached`: BatchJobs that were accepted, by the status that the operator gave them. Seconds to the first pod."""

    sent: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    tampered: int = 0
    calm: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def delay(self) -> float:
        """By how much the slowest canary was later than one without company."""
        return max(self.beside, default=0.0) - statistics.median(self.calm)

    def table(self) -> str:
        refused = ", ".join(f"{count} with {code}" for code, count in sorted(self.refused.items()))
        reached = ", ".join(f"{count} {status}" for status, count in sorted(self.reached.items()))
        return "\n".join(
            (
                f"generated objects: {self.sent} in {self.seconds:.0f} s; {self.tampered} tampered with",
                f"  refused by the API server: {refused}",
                f"  reached the operator: {self.accepted['BatchJob']} BatchJobs ({reached}), "
                f"{self.accepted['Pipeline']} Pipelines",
                f"  first pod of a canary, less the API server's own time: {statistics.median(self.calm):.2f} s alone; "
                f"beside them {statistics.median(self.beside):.2f} s (median of {len(self.beside)}), "
                f"{max(self.beside):.2f} s (slowest)",
            )
        )


class Playground:
    """Two namespaces with a registry and a fake node, and an operator that works on them."""

    def __init__(self, bench: Bench) -> None:
        self.upstream = bench.upstream
        self._bench = bench
        self.name = f"generated-{bench.id}"
        self.canaries = f"{self.name}-canary"
        self.node = f"fake-{self.name}"
        self.history = bench.recorder.of(self.canaries)
        self.port = _free_port()
        self.operator: OperatorProcess | None = None
        self.starved = 0.0
        """Seconds by which this process was woken late, all together."""

    async def open(self) -> None:
        await self._bench.make_node(self.node)
        for namespace in (self.name, self.canaries):
            await self._bench.make_namespace(namespace)
            for key, schema in (("classify", make_pipeline_spec()["user_config_schema"]), ("broken", _NO_SCHEMA)):
                spec = pipeline_on(make_pipeline_spec(key=key, user_config_schema=schema), self.node)
                await self.upstream.ask("POST", PIPELINES.path(namespace), custom("Pipeline", key, spec))
        environment = {
            "KUBECONFIG": self._bench.kubeconfig,
            "BATCH_OPERATOR_NAMESPACE": self.name,
            "BATCH_OPERATOR_BIND_ADDRESS": "127.0.0.1",
            "BATCH_OPERATOR_HTTP_PORT": str(self.port),
            "BATCH_OPERATOR_LOG_LEVEL": "WARNING",
        }
        self.operator = await self._bench.zygote.start(environment, self._bench.directory / f"{self.name}.log")
        await until(self._is_ready, "an operator that is ready")

    async def close(self) -> None:
        if self.operator is not None:
            await self.operator.kill()
        await self._bench.remove([self.name, self.canaries], [self.node])

    async def _is_ready(self) -> bool:
        return await self.probe("readyz") == 200

    async def probe(self, which: str) -> int:
        with suppress(aiohttp.ClientError):
            async with self.upstream.session.get(f"http://127.0.0.1:{self.port}/{which}") as answer:
                return answer.status
        return 0

    async def canary(self) -> float:
        """Seconds from a job's creation to its first pod, less what the API server took for the like by itself.

        A job that nests 9,000 deep costs the API server seconds of CPU, and etcd's disk has others to serve, which is
        not the operator's doing. So as many writes as the operator makes up to that pod (status, ConfigMap, pod)
        are sent at the same moment, and their time does not count.
        Nor does what this process itself had to wait for a processor, but for the time in which the operator computed:
        on a machine that others load too, an idle operator waits as well.
        """
        assert self.operator is not None, "it was started"
        computed, waited = self.operator.cpu_seconds(), self.starved
        name = f"canary-{uuid4().hex[:8]}"
        first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        def heard(seen: Seen) -> None:
            labels = seen.object["metadata"].get("labels") or {}
            if seen.resource is kinds.PODS and labels.get(names.JOB_NAME_LABEL) == name and not first.done():
                first.set_result(seen.at)

        self.history.listener = heard
        path = BATCH_JOBS.path(self.canaries)
        await self.upstream.ask("POST", path, custom("BatchJob", name, make_spec(pipeline_key="classify")))
        began = time.monotonic()
        bare = asyncio.create_task(self._bare())
        try:
            async with asyncio.timeout(HANDLED_SECONDS):
                took = await first - began
                took -= await bare
                computed = self.operator.cpu_seconds() - computed
                return max(0.0, took - max(0.0, min(self.starved - waited, took - computed)))
        except TimeoutError:
            return HANDLED_SECONDS
        finally:
            await self.upstream.ask("DELETE", f"{path}/{name}", may_fail=(404,))

    async def _bare(self) -> float:
        began = time.monotonic()
        name = f"bare-{uuid4().hex[:8]}"
        path = CONFIG_MAPS.path(self.canaries, name)
        configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        await self.upstream.ask("POST", CONFIG_MAPS.path(self.canaries), configmap)
        await self.upstream.ask("PATCH", path, {"data": {"a": "b"}})
        await self.upstream.ask("DELETE", path)
        return time.monotonic() - began

    # -- one chunk

    async def send(self, chunk: list[Case], start: int, figures: Figures) -> None:
        waiting = list(enumerate(chunk, start))
        accepted: dict[str, Case] = {}

        async def sender() -> None:
            while waiting:
                number, case = waiting.pop()
                resource = BATCH_JOBS if case.kind == "BatchJob" else PIPELINES
                manifest = custom(case.kind, f"g-{number}", case.spec, labels=dict(case.labels))
                headers = {"Content-Type": "application/json"}
                answer = await self.upstream.send("POST", resource.path(self.name), as_json(manifest), headers)
                figures.sent += 1
                if answer.code >= 300:
                    figures.refused[answer.code] += 1
                else:
                    figures.accepted[case.kind] += 1
                    if case.kind == "BatchJob":
                        accepted[f"g-{number}"] = case

        await asyncio.gather(*(sender() for _ in range(SENDERS)))
        await self._handled(accepted, figures)
        await self._tamper(accepted, figures)

    async def _handled(self, accepted: dict[str, Case], figures: Figures) -> None:
        """Every accepted job gets a status by the operator."""
        deadline = time.monotonic() + HANDLED_SECONDS
        while True:
            jobs = (await self.upstream.ask("GET", BATCH_JOBS.path(self.name)))["items"]
            statuses = {job["metadata"]["name"]: (job.get("status") or {}).get("status") for job in jobs}
            statuses |= {n: "DELETED" for n, case in accepted.items() if n not in statuses and _may_be_deleted(case)}
            left = [name for name in accepted if not statuses.get(name)]
            if not left:
                figures.reached.update(str(statuses[name]) for name in accepted)
                return
            if time.monotonic() > deadline:
                figures.found.append(f"the operator did not look at {', '.join(left[:5])} in {HANDLED_SECONDS:.0f} s")
                return
            await asyncio.sleep(0.2)

    async def _tamper(self, accepted: dict[str, Case], figures: Figures) -> None:
        for name, case in accepted.items():
            if case.tamper is None:
                continue
            figures.tampered += 1
            gone = (404, 409, 422)
            if "status" in case.tamper:
                path = BATCH_JOBS.path(self.name, name, "status")
                await self.upstream.ask("PATCH", path, {"status": case.tamper["status"]}, may_fail=gone)
                continue
            selector = f"labelSelector=batch-operator.dev%2Fjob-name%3D{name}"
            for resource in (PODS, CONFIG_MAPS):
                found = await self.upstream.ask("GET", f"{resource.path(self.name)}?{selector}")
                for child in found["items"]:
                    path = resource.path(self.name, child["metadata"]["name"])
                    await self.upstream.ask("PATCH", path, {"metadata": _changed(case.tamper)}, may_fail=gone)

    async def clear(self) -> None:
        """What a chunk left; so that the 10,000 do not lie there at once."""
        for resource in (BATCH_JOBS, PODS, CONFIG_MAPS):
            query = "?gracePeriodSeconds=0" if resource is PODS else ""
            await self.upstream.ask("DELETE", resource.path(self.name) + query)
        jobs = await self.upstream.ask("GET", PIPELINES.path(self.name))
        mine = [item["metadata"]["name"] for item in jobs["items"] if item["metadata"]["name"].startswith("g-")]
        for name in mine:
            await self.upstream.ask("DELETE", PIPELINES.path(self.name, name), may_fail=(404,))


async def run(bench: Bench, count: int, seed: int) -> Figures:
    figures = Figures()
    ground = Playground(bench)
    try:
        await ground.open()
        assert ground.operator is not None, "it was started"
        figures.calm = [await ground.canary() for _ in range(CALM_CANARIES)]
        began = time.monotonic()
        async with _canaries(ground, figures):
            async for start, chunk in _chunks(count, seed):
                await ground.send(chunk, start, figures)
                await ground.clear()
                bench.recorder.check()
                print(
                    f"{time.monotonic() - began:4.0f} s: {figures.sent} of {count} objects", file=sys.stderr, flush=True
                )
                if ground.operator.ended.is_set():
                    figures.found.append(f"the operator ended among the objects {start} to {start + len(chunk)}")
                    break
        figures.seconds = time.monotonic() - began
        if await ground.probe("healthz") != 200:
            figures.found.append("the operator is not healthy any more")
        if figures.delay > MOST_DELAY_SECONDS:
            figures.found.append(f"a canary had its first pod {figures.delay:.2f} s later than alone")
    finally:
        await ground.close()
    bench.keep_logs = bench.keep_logs or bool(figures.found)
    return figures


@asynccontextmanager
async def _canaries(ground: Playground, figures: Figures) -> AsyncIterator[None]:
    """One after the other, as long as the body runs."""

    async def heartbeat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            ground.starved += time.monotonic() - began - HEARTBEAT_SECONDS

    async def go_on() -> None:
        while True:
            figures.beside.append(await ground.canary())
            await asyncio.sleep(CANARY_EVERY_SECONDS)

    tasks = [asyncio.create_task(go_on()), asyncio.create_task(heartbeat())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _chunks(count: int, seed: int) -> AsyncIterator[tuple[int, list[Case]]]:
    """Drawn in a process of its own, one chunk ahead."""
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=os.nice, initargs=(10,)) as pool:
        sizes = [(start, min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
        drawn = [loop.run_in_executor(pool, cases, size, seed + start) for start, size in sizes]
        for (start, _), chunk in zip(sizes, drawn, strict=True):
            yield start, await chunk


def _may_be_deleted(case: Case) -> bool:
    """It says itself that it is to be deleted once it has ended."""
    policy = case.spec.get("policy") if isinstance(case.spec, dict) else None
    return isinstance(policy, dict) and policy.get("ttl_deletes_job") is True


def _changed(tamper: Any) -> Object:
    if "pod_owners" in tamper:
        return {"ownerReferences": tamper["pod_owners"]}
    return {"labels": tamper.get("pod_labels") or {}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
