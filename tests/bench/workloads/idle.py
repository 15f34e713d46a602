"""One job at a time on an idle cluster: how long until its first pod, and from its last pod's end to its own; and what
a contender reads and writes when nothing happens any more."""

import asyncio

from tests.bench.contender import JOB_NAME, Contender, Shape
from tests.bench.figures import nearest_rank
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds
from tests.bench.runs import AFTERWARDS_SECONDS, Record, measured, stage

PAUSE_SECONDS = 0.1
REST_SECONDS = 15.0


async def run(ground: Ground, contender: Contender, shape: Shape, jobs: int, rest: float = REST_SECONDS) -> Record:
    async with stage(ground, contender, shape) as up:
        async with up.submitter(up.jobs(jobs), steps=True) as submitter:
            for number in range(jobs):
                await submitter.submit()
                await up.outcomes.until(number + 1, 60.0)
                await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        seen = up.observe()
        before, computed = len(up.entries), cpu_seconds(contender.pids)
        await asyncio.sleep(rest)
        later = [entry for entry in up.read_audit()[before:] if contender.is_own(entry)]
        computed = cpu_seconds(contender.pids) - computed
    names = {JOB_NAME % number for number in range(jobs)}
    starts = [times.first_pod - times.submitted for times in seen.jobs.values() if times.first_pod]
    ends = [times.ended - times.pods_done for times in seen.jobs.values()]
    return measured(seen, jobs, shape) | {
        "first_pod_p50": nearest_rank(starts, 0.5),
        "first_pod_p99": nearest_rank(starts, 0.99),
        "first_pods_known": len(starts),
        "end_p50": nearest_rank(ends, 0.5),
        "end_p99": nearest_rank(ends, 0.99),
        "rest_seconds": rest,
        "rest_reads": sum(entry.is_read for entry in later),
        "rest_job_writes": sum(entry.is_write and entry.name[: len(JOB_NAME % 0)] in names for entry in later),
        "rest_cpu_seconds": computed,
    }
