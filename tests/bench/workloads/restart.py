"""kill -9 while jobs come and go: what a new process needs until all is again as if nothing had been."""

import asyncio
import time

from tests.bench.contender import Shape
from tests.bench.contenders.line_up import OPERATOR
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.figures import nearest_rank
from tests.bench.ground import Ground
from tests.bench.runs import AFTERWARDS_SECONDS, Record, measured, stage


async def run(ground: Ground, rate: float, seconds: float) -> Record:
    """An open loop at this rate; the process is killed in the middle, and the next one started at once."""
    contender = ThisOperator(OPERATOR)
    await contender.prepare(ground)
    shape = Shape(1, 0.2)
    jobs = max(round(rate * seconds), 1)
    async with stage(ground, contender, shape) as up:
        async with up.submitter(up.jobs(jobs), rate=rate) as submitter, submitter.submitting():
            await asyncio.sleep(seconds / 2)
            contender.kill()
            killed = time.time()
            await contender.go_on()
            await up.outcomes.until(jobs)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        seen = up.observe()
        own = [e for e in up.entries if contender.is_own(e) and e.is_write and e.held and e.namespace == up.namespace]
    record = measured(seen, jobs, shape)
    pods = [counts["create pods"] for job, counts in seen.writes.items() if job]
    first = min(e.done for e in own if e.received > killed and e.resource in ("pods", "batchjobs/status"))
    behind = [times.ended for times in seen.jobs.values() if times.submitted <= first]
    whole = [times.ended - times.submitted for times in seen.jobs.values()]
    return record | {
        "rate": rate,
        "first_write": first - killed,
        "caught_up": max(behind) - killed,
        "whole_p50": nearest_rank(whole, 0.5),
        "whole_p99": nearest_rank(whole, 0.99),
        "pods_made_twice": sum(count > 1 for count in pods),
    }
