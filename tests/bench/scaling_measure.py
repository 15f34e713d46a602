"""``python -m tests.bench.scaling_measure``: what one job, pod, report and watch costs, into scaling_costs.json.

The costs that `scaling` reckons with. The operator is a real process on the benchmark's cluster; its CPU time and
memory come from /proc, writes from the audit log, bytes from watches of our own. No wall time is taken, so that other
work on the machine disturbs little.
"""

import asyncio
import http.client
import json
import ssl
import tempfile
from asyncio import TaskGroup, to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from batch_operator.api import names, ranges
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PIPELINES, PODS
from tests.bench import own_writes
from tests.bench.contender import ENDLESS, JOB_NAME, Shape
from tests.bench.contenders.own_process import free_ports
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.ground import Ground, ground
from tests.bench.processes import cpu_seconds, rss_mib
from tests.bench.scaling import COSTS, Costs, save
from tests.faults.upstream import until
from tests.simulate import cost

ONE_POD_JOBS, MANY_PODS_JOBS, MANY_PODS, RUNNING_JOBS, REPORTS = 200, 10, 20, 400, 400
BIG = Shape(32, ENDLESS, 10_000)
_AT_ONCE = 20
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_QUIET_SECONDS = 3.0
HERE = "measured by tests/bench/scaling_measure.py"


@dataclass
class Spent:
    """By the operator and the API server, for some jobs."""

    cpu: float = 0.0
    bytes: int = 0
    own_writes: int = 0
    all_writes: int = 0


class Measuring:
    def __init__(self, desk: Ground, operator: ThisOperator, namespace: str, progress_port: int) -> None:
        self.desk, self.operator, self.namespace, self.port = desk, operator, namespace, progress_port
        self._made = 0

    async def jobs(self, count: int, shape: Shape, state: tuple[str, ...]) -> Spent:
        """Posts them, waits until all are in one of these states, and says what that took."""
        audit, before = self.desk.audit(), cpu_seconds(self.operator.pids)
        async with self._watched() as seen:
            wanted = {JOB_NAME % number for number in range(self._made, self._made + count)}
            self._made += count
            await self._post(sorted(wanted), shape)

            async def there() -> bool:
                self.operator.check()
                items = (await self.desk.ask("GET", self.operator.collection(self.namespace)))["items"]
                told = {i["metadata"]["name"]: (i.get("status") or {}).get("status") for i in items}
                return all(told.get(name) in state for name in wanted)

            await until(there, f"{count} jobs are {' or '.join(state)}", 300.0)
            await asyncio.sleep(_QUIET_SECONDS)
        writes = [e for e in audit.new() if e.is_write and e.namespace == self.namespace]
        own = sum(map(self.operator.is_own, writes))
        return Spent(cpu_seconds(self.operator.pids) - before, sum(seen), own, len(writes))

    async def _post(self, wanted: list[str], shape: Shape) -> None:
        path = self.operator.collection(self.namespace)
        for start in range(0, len(wanted), _AT_ONCE):
            async with TaskGroup() as group:
                for name in wanted[start : start + _AT_ONCE]:
                    group.create_task(self.desk.ask("POST", path, self.operator.manifest(name, shape)))

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[list[int]]:
        """Sizes of what a watch of the namespace's jobs and pods brings, as the operator's own watches do."""
        sizes: list[int] = []
        upstream = self.desk.upstream

        async def watch(collection: str) -> None:
            version = (await upstream.ask("GET", f"{collection}?limit=1"))["metadata"]["resourceVersion"]
            url = f"{upstream.server}{collection}?watch=1&resourceVersion={version}&timeoutSeconds=900"
            async with upstream.session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                async for chunk in answer.content.iter_any():
                    sizes.append(len(chunk))

        watches = [asyncio.create_task(watch(kind.path(self.namespace))) for kind in (BATCH_JOBS, PODS)]
        await asyncio.sleep(1.0)
        try:
            yield sizes
        finally:
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def report_ms(self) -> float:
        """CPU of one report on a new TLS connection, as the SDK's worker sends it, with the pass that follows."""
        items = (await self.desk.ask("GET", f"{PODS.path(self.namespace)}?limit=500"))["items"]
        pod = next(p["metadata"] for p in items if p["status"]["phase"] == "Running")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        asked = {"spec": {"audiences": [names.TOKEN_AUDIENCE], "boundObjectRef": bound}}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", **asked}
        token = (await self.desk.ask("POST", path, body))["status"]["token"]
        before = cpu_seconds(self.operator.pids)
        await to_thread(_report, self.port, token)
        await asyncio.sleep(_QUIET_SECONDS)
        return (cpu_seconds(self.operator.pids) - before) / REPORTS * 1000


def _report(port: int, token: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # our own loopback; only the load counts
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for number in range(REPORTS):
        body = {"processing": "0", "items": {"done": number, "total": None, "failed": 0}}
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        connection.request("POST", names.PROGRESS_PATH, json.dumps(body), headers)
        answer = connection.getresponse()
        assert answer.status == 204, f"the operator answers {answer.status}: {answer.read()!r}"
        connection.close()


async def on_the_cluster(costs: Costs) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        async with ground(Path(scratch)) as desk:
            (port,) = free_ports(1)
            settings = {"progress_url": f"https://127.0.0.1:{port}", "progress_port": port}
            operator = ThisOperator(settings=settings)
            await operator.prepare(desk)
            namespace = await desk.make_namespace()
            try:
                await operator.start(desk, namespace, Shape(1))
                await desk.ask("POST", PIPELINES.path(namespace), own_writes.pipeline(Shape(1, ENDLESS)))
                await _measure(Measuring(desk, operator, namespace, port), costs)
            finally:
                await operator.stop()


async def _measure(here: Measuring, costs: Costs) -> None:
    pids = here.operator.pids
    await here.jobs(20, Shape(1), _ENDED)  # the first ones also pay for what a process does once
    costs.put("operator_rss_mib", rss_mib(pids), f"{HERE}: after 20 jobs")
    one = await here.jobs(ONE_POD_JOBS, Shape(1), _ENDED)
    rest = rss_mib(pids)
    many = await here.jobs(MANY_PODS_JOBS, Shape(MANY_PODS), _ENDED)
    source = f"{HERE}: {ONE_POD_JOBS} jobs of one pod"
    costs.put("job_cpu_ms", one.cpu / ONE_POD_JOBS * 1000, source)
    costs.put("job_watch_kib", one.bytes / ONE_POD_JOBS / 1024, source)
    costs.put("job_own_writes", one.own_writes / ONE_POD_JOBS, source)
    costs.put("job_all_writes", one.all_writes / ONE_POD_JOBS, f"{source}, with scheduler and kwok as the kubelet")
    pods, source = MANY_PODS - 1, f"{HERE}: {MANY_PODS_JOBS} jobs of {MANY_PODS} pods, less the first pod"
    costs.put("pod_cpu_ms", (many.cpu / MANY_PODS_JOBS * 1000 - costs["job_cpu_ms"]) / pods, source)
    costs.put("pod_watch_kib", (many.bytes / MANY_PODS_JOBS / 1024 - costs["job_watch_kib"]) / pods, source)
    costs.put("pod_all_writes", (many.all_writes / MANY_PODS_JOBS - costs["job_all_writes"]) / pods, source)
    await here.jobs(RUNNING_JOBS, Shape(1, ENDLESS), ("RUNNING",))
    grown = (rss_mib(pids) - rest) * 1024 / RUNNING_JOBS
    costs.put("running_job_kib", grown, f"{HERE}: resident memory of {RUNNING_JOBS} running jobs of one pod")
    costs.put("report_cpu_ms", await here.report_ms(), f"{HERE}: {REPORTS} reports, each on a new TLS connection")
    await _sizes(here, costs)
    await _restart(here, costs)


async def _sizes(here: Measuring, costs: Costs) -> None:
    first = JOB_NAME % 0
    job = await here.desk.ask("GET", f"{here.operator.collection(here.namespace)}/{first}")
    costs.put("stored_job_kib", _kib(job), f"{HERE}: JSON of a job of one pod that has ended")
    for name, path in (("stored_pod_kib", PODS), ("stored_configmap_kib", CONFIG_MAPS)):
        items = (await here.desk.ask("GET", f"{path.path(here.namespace)}?limit=500"))["items"]
        of_job = [item for item in items if item["metadata"]["name"].startswith(first)]
        costs.put(name, _kib(of_job[0]), f"{HERE}: JSON, of a job of one pod")
    spent = await here.jobs(1, BIG, ("RUNNING",))
    name = JOB_NAME % (here._made - 1)
    big = await here.desk.ask("GET", f"{here.operator.collection(here.namespace)}/{name}")
    costs.put("big_job_kib", _kib(big), f"{HERE}: JSON of a running job of {BIG.inputs} inputs (file_id of 12 bytes)")
    costs.put("big_job_cpu_ms", spent.cpu * 1000, f"{HERE}: from apply to RUNNING, {BIG.pods} pods")


async def _restart(here: Measuring, costs: Costs) -> None:
    """CPU until a new process has looked at every job once."""
    here.operator.kill()
    await here.operator.go_on()
    await asyncio.sleep(_QUIET_SECONDS)
    spent = cpu_seconds(here.operator.pids) * 1000
    costs.put("restart_cpu_ms", spent / here._made, f"{HERE}: a new process among {here._made} jobs, by job")


def _kib(item: Any) -> float:
    return len(orjson.dumps(item)) / 1024


def in_this_process(costs: Costs) -> None:
    """What needs no cluster."""
    every_second = frozenset(range(0, 10_000, 2))
    size = len(ranges.format_ranges(every_second)) / 1024
    costs.put("worst_ranges_kib", size, f"{HERE}: every second of 10,000 inputs done, as status writes it")
    for jobs in (1_000, 10_000, 50_000):
        job, queue, _ = cost.CASES["mixed"]
        middle, _ = cost.measure(cost.cluster(job, queue, jobs, 500), 5)
        costs.put(f"cycle_{jobs}_ms", middle, "tests/simulate/cost.py, case `mixed`, 500 holders: CPU time, median")
    for name, value, source in _given():
        costs.put(name, value, source)


def _given() -> list[tuple[str, float, str]]:
    """What the code says, or what was measured elsewhere."""
    from batch_operator.cluster import token_review
    from batch_operator.config import Settings
    from batch_operator.handlers import telling
    from batch_worker.reporter import Pace

    settings = Settings()
    return [
        ("api_writes_per_second", 160 * 7, "a bare script on 2 cores: 160 jobs/s of one pod, 7 writes each"),
        ("moves_per_second", telling.MOVES_PER_SECOND, "handlers/telling.py"),
        ("reviews_per_second", token_review._REVIEWS_PER_SECOND, "cluster/token_review.py"),
        ("review_holds_seconds", token_review.ACCEPTED_SECONDS, "cluster/token_review.py"),
        ("progress_interval_seconds", settings.progress_interval_seconds, "config.py"),
        ("report_seconds", Pace().interval, "batch_worker/reporter.py: of a worker that gets on"),
        ("lease_writes_per_second", 1 / settings.lease_retry_seconds, "config.py"),
        ("queue_of_10000_rss_mib", 225, "docs/queue.md: the most, with 10,000 jobs in one Queue"),
    ]


def main() -> None:
    costs = Costs({})
    in_this_process(costs)
    asyncio.run(on_the_cluster(costs))
    save(costs, COSTS)
    print(costs.table())


if __name__ == "__main__":
    main()
