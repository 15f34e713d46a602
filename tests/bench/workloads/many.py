"""10,000 jobs and 20,000 pods that live at once: what each further job costs, the memory that they take and give back,
and a kill -9 in their midst."""

import asyncio
import time

from tests.bench.contender import ENDLESS, JOB_NAME, Shape
from tests.bench.contenders.line_up import OPERATOR
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.figures import job_of
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds, rss_mib
from tests.bench.runs import AFTERWARDS_SECONDS, Record, Stage, stage
from tests.faults.upstream import Object

PODS = 2
MEANWHILE_JOBS = 20
"""Submitted while no operator runs."""
MEANWHILE_PODS = 100
"""Deleted then, of as many jobs."""
SETTLE_SECONDS = 5.0
FREE_SECONDS = 60.0
CAUGHT_UP_SECONDS = 180.0


class _Running(ThisOperator):
    """Its jobs do not end: they count once they run."""

    def outcome(self, job: Object) -> str:
        state = (job.get("status") or {}).get("status", "")
        return SUCCEEDED if state == "RUNNING" else super().outcome(job)


async def run(ground: Ground, jobs: int) -> Record:
    contender = _Running(OPERATOR)
    await contender.prepare(ground)
    step = max(jobs // 10, 1)
    async with stage(ground, contender, Shape(PODS, ENDLESS)) as up:
        idle = rss_mib(contender.pids)
        first = await _batch(up, contender, 0, step)
        await _batch(up, contender, step, jobs - 2 * step)
        last = await _batch(up, contender, jobs - step, step)
        await asyncio.sleep(SETTLE_SECONDS)
        full = rss_mib(contender.pids)
        restart = await _killed(up, contender, jobs)
        full_again = rss_mib(contender.pids)
        await ground.empty(up.namespace, contender.collection(up.namespace), controlled=True)
        after = await _freed(contender, idle)
    return {
        "jobs": jobs,
        "pods": jobs * PODS,
        "first": first,
        "last": last,
        "growth": last["ms_per_job"] / first["ms_per_job"],
        "cpu_growth": last["cpu_ms_per_job"] / first["cpu_ms_per_job"],
        "rss_idle_mib": idle,
        "rss_mib": max(full, full_again),
        "rss_before_restart_mib": full,
        "rss_after_mib": after,
        **restart,
    }


async def _batch(up: Stage, contender: ThisOperator, begin: int, count: int) -> dict[str, float]:
    """From the first submit until the last of them runs."""
    if count <= 0:
        return {}
    before, computed = len(up.read_audit()), cpu_seconds(contender.pids)
    await up.submit(up.jobs(count, begin))
    await up.outcomes.until(begin + count)
    computed = cpu_seconds(contender.pids) - computed
    await asyncio.sleep(AFTERWARDS_SECONDS)
    entries = [e for e in up.read_audit()[before:] if e.namespace == up.namespace and e.is_write and e.held]
    began = min(e.received for e in entries if "submitter" in e.user)
    ended = max(e.done for e in entries if contender.may_end(e))
    return {"jobs": count, "ms_per_job": 1000 * (ended - began) / count, "cpu_ms_per_job": 1000 * computed / count}


async def _killed(up: Stage, contender: ThisOperator, jobs: int) -> Record:
    """Killed; meanwhile jobs come and pods go; a new process, until it has made good all of that."""
    contender.kill()
    pods_path = f"/api/v1/namespaces/{up.namespace}/pods"
    await up.submit(up.jobs(MEANWHILE_JOBS, jobs))
    hit = {JOB_NAME % number for number in range(min(MEANWHILE_PODS, jobs))}
    for name in await _first_pods(up, hit):
        await up.ground.ask("DELETE", f"{pods_path}/{name}?gracePeriodSeconds=0")
    await asyncio.sleep(AFTERWARDS_SECONDS)
    before = len(up.read_audit())
    began = time.time()
    await contender.go_on()
    ready = time.time() - began
    new = {JOB_NAME % number for number in range(jobs, jobs + MEANWHILE_JOBS)}
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while True:
        await asyncio.sleep(0.2)
        contender.check()
        own = [e for e in up.read_audit()[before:] if contender.is_own(e) and e.is_write and e.held]
        made = [e for e in own if e.resource == "pods" and e.verb == "create" and job_of(e.name) in hit]
        if {job_of(e.name) for e in made} == hit and new <= up.outcomes.ended.keys():
            break
        late = f"{len(made)} of {len(hit)} pods replaced, {len(new & up.outcomes.ended.keys())} of {len(new)} jobs run"
        assert time.monotonic() < deadline, f"a restarted operator has not caught up: {late}"
    right = [e for e in own if e.resource in ("pods", "batchjobs/status") and e.namespace == up.namespace]
    caught_up = max(e.done for e in right if e in made or job_of(e.name) in new)
    return {
        "restart_ready": ready,
        "restart_first_write": min(e.done for e in right) - began,
        "restart_caught_up": caught_up - began,
        "restart_reads": sum(e.is_read for e in up.entries[before:] if contender.is_own(e)),
    }


async def _first_pods(up: Stage, jobs: set[str]) -> list[str]:
    """One of each job."""
    found: dict[str, str] = {}
    for entry in up.read_audit():
        if entry.resource == "pods" and entry.verb == "create" and (job := job_of(entry.name)) in jobs:
            found.setdefault(job, entry.name)
    return list(found.values())


async def _freed(contender: ThisOperator, idle: float) -> float:
    """Its memory once it has let go, or after a while that is long enough."""
    deadline = time.monotonic() + FREE_SECONDS
    while (now := rss_mib(contender.pids)) > 1.2 * idle and time.monotonic() < deadline:
        await asyncio.sleep(1.0)
    return now
