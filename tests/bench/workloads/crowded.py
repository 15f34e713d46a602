"""Many jobs in one Queue that has room for one: how fast they take turns, and what the others cost meanwhile."""

import asyncio
from collections import Counter

from tests.bench.contender import GPU, Shape
from tests.bench.contenders.line_up import OPERATOR
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds, rss_mib
from tests.bench.runs import AFTERWARDS_SECONDS, Record, stage
from tests.faults.upstream import Object

QUEUE = "bench"
SECONDS = 20.0
_SUBMIT_SECONDS = 600.0


class _Told(ThisOperator):
    """Also counts the jobs that were told that they wait."""

    def __init__(self) -> None:
        super().__init__(OPERATOR, queue=QUEUE, queue_spec={"quota": {GPU: "1"}, "stop": "Hold"})
        self.told: set[str] = set()

    def outcome(self, job: Object) -> str:
        if job.get("status"):
            self.told.add(job["metadata"]["name"])
        return super().outcome(job)


async def run(ground: Ground, jobs: int) -> Record:
    contender = _Told()
    await contender.prepare(ground)
    try:
        async with stage(ground, contender, Shape(1)) as up:
            computed = cpu_seconds(contender.pids)
            loop = asyncio.get_running_loop()
            began = loop.time()
            submitted = await asyncio.wait_for(up.submit(up.jobs(jobs)), _SUBMIT_SECONDS)
            async with asyncio.timeout(_SUBMIT_SECONDS):
                while len(contender.told) < jobs:
                    contender.check()
                    await asyncio.sleep(0.1)
            queued = loop.time() - began
            queueing = cpu_seconds(contender.pids) - computed
            memory = rss_mib(contender.pids)
            before, ended, computed = len(up.read_audit()), len(up.outcomes.ended), cpu_seconds(contender.pids)
            await ground.ask("PATCH", f"/apis/batch-operator.dev/v1alpha1/queues/{QUEUE}", {"spec": {"stop": "None"}})
            began = loop.time()
            await asyncio.sleep(SECONDS)
            ended, seconds = len(up.outcomes.ended) - ended, loop.time() - began
            computed = cpu_seconds(contender.pids) - computed
            await asyncio.sleep(AFTERWARDS_SECONDS)
            own = [e for e in up.read_audit()[before:] if contender.is_own(e)]
            contender.kill()
    finally:
        await ground.ask("DELETE", f"/apis/batch-operator.dev/v1alpha1/queues/{QUEUE}", may_fail=(404,))
    return {
        "jobs": jobs,
        "submit_seconds": submitted.seconds,
        "queued_seconds": queued,
        "queueing_cpu_ms_per_job": 1000 * queueing / jobs,
        "rss_mib": memory,
        "ended_per_s": ended / seconds,
        "cpu_share": computed / seconds,
        "writes_per_s": {kind: n / seconds for kind, n in Counter(f"{e.verb} {e.resource}" for e in own).items()},
    }
