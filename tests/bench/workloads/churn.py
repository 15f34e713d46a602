"""An open loop: jobs come at a fixed rate whatever becomes of them, and their pods run for 200 ms."""

from dataclasses import asdict

from tests.bench.contender import Contender, Shape
from tests.bench.figures import nearest_rank
from tests.bench.ground import Ground
from tests.bench.runs import Record, measured, stage


async def run(ground: Ground, contender: Contender, shape: Shape, rate: float, seconds: float) -> Record:
    jobs = max(round(rate * seconds), 1)
    async with stage(ground, contender, shape) as up:
        played = await up.play(jobs, rate)
        seen = up.observe()
    starts = [times.first_pod - times.submitted for times in seen.jobs.values() if times.first_pod]
    ends = [times.ended - times.pods_done for times in seen.jobs.values()]
    whole = [times.ended - times.submitted for times in seen.jobs.values()]
    last_submit = max(times.submitted for times in seen.jobs.values())
    return measured(seen, jobs, shape) | {
        "submitter": asdict(played.submitted),
        "rate": rate,
        "cpu_ms_per_job": 1000 * played.computed / jobs,
        "first_pod_p50": nearest_rank(starts, 0.5),
        "first_pod_p99": nearest_rank(starts, 0.99),
        "end_p50": nearest_rank(ends, 0.5),
        "end_p99": nearest_rank(ends, 0.99),
        "whole_p50": nearest_rank(whole, 0.5),
        "whole_p99": nearest_rank(whole, 0.99),
        "left_over_seconds": max(times.ended for times in seen.jobs.values()) - last_submit,
    }
