"""Jobs as fast as they go: all are submitted at once, and the last one's end counts."""

import asyncio
from dataclasses import asdict

from tests.bench.contender import Contender, Shape
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds, rss_mib
from tests.bench.runs import AFTERWARDS_SECONDS, Record, measured, stage


async def run(ground: Ground, contender: Contender, shape: Shape, jobs: int) -> Record:
    async with stage(ground, contender, shape) as up:
        async with up.submitter(up.jobs(jobs)) as submitter:
            computed, around = cpu_seconds(contender.pids), ground.cpu_seconds()
            submitting = asyncio.create_task(submitter.submit())
            try:
                await up.outcomes.until(jobs)
            finally:
                submitted = await asyncio.wait_for(submitting, 60.0)
            computed = cpu_seconds(contender.pids) - computed
            control_plane = {name: now - around.get(name, 0.0) for name, now in ground.cpu_seconds().items()}
        memory = rss_mib(contender.pids)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        seen = up.observe()
    return measured(seen, jobs, shape) | {
        "submitter": asdict(submitted),
        "cpu_ms_per_job": 1000 * computed / jobs,
        "rss_mib": memory,
        "control_plane_cpu_seconds": control_plane,
    }
