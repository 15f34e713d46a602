"""One run: a contender and jobs of one shape on the ground, and what is kept of it.

Around each run everything is made anew and removed again, so that all start with as many objects in etcd. Used by the
workloads, which differ in shapes, in how jobs come, and in what happens meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.bench import figures
from tests.bench.audit import AuditLog, Entry
from tests.bench.contender import JOB_NAME, Contender, Limits, Object, Shape
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.figures import Seen
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds
from tests.bench.submitter import Submitted, Submitter
from tests.bench.watching import following

RUN_SECONDS = 600.0
AFTERWARDS_SECONDS = 0.3
"""A write that the harness' watch has told of is in the audit log by then."""
Record = dict[str, Any]


@dataclass
class Outcomes:
    """The harness' own watch of the jobs: only to know when a run is over."""

    contender: Contender
    ended: dict[str, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def seen(self, kind: str, job: Object) -> None:
        name = job["metadata"]["name"]
        if kind == "DELETED":
            self.ended.pop(name, None)
        elif name not in self.ended and (outcome := self.contender.outcome(job)):
            self.ended[name] = outcome
            self.news.set()

    async def until(self, jobs: int, seconds: float = RUN_SECONDS) -> None:
        """Raises AssertionError where they do not all succeed in that time."""
        deadline = time.monotonic() + seconds
        while len(self.ended) < jobs:
            self.news.clear()
            try:
                async with asyncio.timeout(1.0):
                    await self.news.wait()
            except TimeoutError:
                self.contender.check()
            ended = len(self.ended)
            assert time.monotonic() < deadline, (
                f"{self.contender.name}: {ended} of {jobs} jobs ended in {seconds:.0f} s"
            )
        wrong = {name: outcome for name, outcome in self.ended.items() if outcome != SUCCEEDED}
        assert not wrong, f"{self.contender.name}: {len(wrong)} jobs did not succeed, e.g. {next(iter(wrong.items()))}"


@dataclass(frozen=True)
class Played:
    """CPU seconds from the first submit to the last end: of the contender, and of the parts of the control plane."""

    submitted: Submitted
    computed: float
    control_plane: dict[str, float]


@dataclass
class Stage:
    """What is up during one run."""

    ground: Ground
    contender: Contender
    namespace: str
    shape: Shape
    outcomes: Outcomes
    log: AuditLog
    entries: list[Entry] = field(default_factory=list)

    def jobs(self, count: int, first: int = 0) -> list[Object]:
        return [self.contender.manifest(JOB_NAME % number, self.shape) for number in range(first, first + count)]

    @asynccontextmanager
    async def submitter(self, bodies: list[Object], rate: float = 0.0, steps: bool = False) -> AsyncIterator[Submitter]:
        """Connected, and nothing sent."""
        collection = self.contender.collection(self.namespace)
        submitter = await Submitter.start(self.ground, collection, bodies, rate=rate, steps=steps)
        try:
            yield submitter
        finally:
            await submitter.end()

    async def submit(self, bodies: list[Object]) -> Submitted:
        async with self.submitter(bodies) as submitter:
            return await submitter.submit()

    async def play(self, count: int, rate: float = 0.0) -> Played:
        """Submits so many jobs, at once or at a rate, until all have succeeded and the audit log has it."""
        async with self.submitter(self.jobs(count), rate=rate) as submitter:
            computed, around = cpu_seconds(self.contender.pids), self.ground.cpu_seconds()
            async with submitter.submitting() as submitting:
                await self.outcomes.until(count)
            played = Played(
                submitting.result(),
                cpu_seconds(self.contender.pids) - computed,
                {name: now - around.get(name, 0.0) for name, now in self.ground.cpu_seconds().items()},
            )
        await asyncio.sleep(AFTERWARDS_SECONDS)
        return played

    def read_audit(self) -> list[Entry]:
        """All entries of this run so far."""
        self.entries.extend(self.log.new())
        return self.entries

    def observe(self) -> Seen:
        return figures.observe(self.read_audit(), self.namespace, self.contender.is_own, self.contender.may_end)


@asynccontextmanager
async def stage(ground: Ground, contender: Contender, shape: Shape) -> AsyncIterator[Stage]:
    await ground.limit_controller_manager(Limits.TUNED)
    namespace = await ground.make_namespace()
    collection = contender.collection(namespace)
    outcomes = Outcomes(contender)
    try:
        await contender.start(ground, namespace, shape)
        async with following(ground.upstream, collection, outcomes.seen):
            yield Stage(ground, contender, namespace, shape, outcomes, ground.audit())
    finally:
        await contender.stop()
        await ground.limit_controller_manager(Limits.TUNED)
        await ground.empty(namespace, collection)


def measured(seen: Seen, jobs: int, shape: Shape) -> Record:
    """Raises LookupError where the audit log does not have every job's end."""
    began, ended = figures.span(seen.jobs.values())
    if len(seen.jobs) != jobs or not ended:
        raise LookupError(
            f"the audit log has the whole of {sum(bool(t.ended) for t in seen.jobs.values())} of {jobs} jobs"
        )
    seconds = ended - began
    above, unexplained = figures.above_pods(seen, shape.pods)
    return {
        "jobs": jobs,
        "pods": shape.pods,
        "seconds": seconds,
        "jobs_per_s": jobs / seconds,
        "pods_per_s": jobs * shape.pods / seconds,
        "writes": figures.spread(seen.writes),
        "above_pods": above,
        "unexplained_writes": unexplained,
        "other_writes": dict(seen.writes.get("", {})),
        "refused": dict(seen.refused),
        "reads": dict(seen.reads),
        "all_writes": dict(seen.all_writes),
        "times": {
            name: [
                round(t, 6) for t in (times.submitted, times.first_pod, times.last_pod, times.pods_done, times.ended)
            ]
            for name, times in sorted(seen.jobs.items())
        },
    }
