"""Jobs as fast as they go: all are submitted at once, and the last one's end counts."""

from dataclasses import asdict

from tests.bench.contender import Contender, Shape
from tests.bench.ground import Ground
from tests.bench.processes import rss_mib
from tests.bench.runs import Record, measured, stage


async def run(ground: Ground, contender: Contender, shape: Shape, jobs: int) -> Record:
    async with stage(ground, contender, shape) as up:
        played = await up.play(jobs)
        memory = rss_mib(contender.pids)
        seen = up.observe()
    return measured(seen, jobs, shape) | {
        "submitter": asdict(played.submitted),
        "cpu_ms_per_job": 1000 * played.computed / jobs,
        "rss_mib": memory,
        "control_plane_cpu_seconds": played.control_plane,
    }
