"""Which runs a `make bench` has, in which order. Called by __main__; each run leaves a record, a failed one says why.

Rounds are interleaved: every contender runs once before any runs again, so that a machine that gets slower meanwhile
is slower for all. The first round has all jobs, the others as many as take a few seconds.
"""

import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.contender import Contender, Shape
from tests.bench.contenders.line_up import BARE, JOB, LIMIT, LINE_UP, OPERATOR, WRITES, Place
from tests.bench.ground import Ground
from tests.bench.records import Record, Records, of
from tests.bench.workloads import calibration, churn, crowded, idle, many, reporting, restart, throughput
from tests.cluster.progress import say

PARTS = ("calibration", "throughput", "idle", "churn", "queue", "restart", "many", "reporting", "shipped")
PODS = (1, 20, 500, 2000)
"""Of a job, in the shapes of the throughput."""
RATES = (0.5, 0.8, 1.0)
"""Of the bare script's, in the churn."""
LONGEST_SECONDS = 8.0
"""A contender that took longer at its first run of a shape gets as many jobs in the others as take so long."""
ONCE_JOBS = 200


@dataclass(frozen=True)
class Size:
    """How much of it: the full benchmark, or a look. `jobs`: pods of a throughput's run in all."""

    rounds: int = 5
    jobs: int = 2000
    idle_jobs: int = 100
    churn_seconds: float = 20.0
    queued: int = 10_000
    many: int = 10_000
    inputs: int = 10_000


@dataclass
class Programme:
    ground: Ground
    records: Records
    size: Size
    chosen: Sequence[str] = ()
    """Contenders by name; (): all."""
    failures: list[str] = field(default_factory=list)
    _made: dict[str, Contender] = field(default_factory=dict)

    async def run(self, parts: Sequence[str]) -> None:
        """The throughput's further rounds come last: whatever ends the run early costs rounds, and no part."""
        for part in PARTS:
            if part in parts:
                await getattr(self, f"_{part}")()
        if "throughput" in parts:
            for number in range(2, self.size.rounds + 1):
                await self._round(number)

    # -- parts

    async def _calibration(self) -> None:
        jobs = self.size.jobs
        await self._note("calibration", {"of": "kwok"}, lambda: calibration.kwok(self.ground, jobs), "pods_per_s")
        await self._note(
            "calibration", {"of": "submitter"}, lambda: calibration.submitter(self.ground, jobs), "jobs_per_s"
        )

    async def _throughput(self) -> None:
        await self._round(1)

    async def _round(self, number: int) -> None:
        for pods in PODS:
            for place in self._places(once=False):
                await self._one_throughput(place, pods, self.size.jobs, number)

    async def _shipped(self) -> None:
        for place in self._places(once=True):
            await self._one_throughput(place, PODS[0], min(ONCE_JOBS, self.size.jobs), 1)

    async def _one_throughput(self, place: Place, pods: int, total: int, number: int) -> None:
        jobs = total // pods
        if not jobs:
            return
        first = of(self.records.load(), "throughput", contender=place.name, pods=pods)
        if first and first[0]["seconds"] > LONGEST_SECONDS:
            jobs = max(int(jobs * LONGEST_SECONDS / first[0]["seconds"]), 1)
        contender = await self._contender(place)
        what = {"contender": place.name, "shape": f"{total // pods} × {pods}", "round": number}
        await self._note(
            "throughput", what, lambda: throughput.run(self.ground, contender, Shape(pods), jobs), "pods_per_s"
        )

    async def _idle(self) -> None:
        for place in self._places(once=False, among=(WRITES, OPERATOR, JOB)):
            contender = await self._contender(place)
            what = {"contender": place.name}
            jobs = self.size.idle_jobs
            await self._note("idle", what, lambda: idle.run(self.ground, contender, Shape(1), jobs), "first_pod_p50")  # noqa: B023

    async def _churn(self) -> None:
        rates = [r["jobs_per_s"] for r in of(self.records.load(), "throughput", contender=LIMIT, pods=1)]
        bare = median(rates) if rates else await self._bare_rate()
        for part in RATES:
            for place in self._places(once=False, among=(WRITES, OPERATOR)):
                contender = await self._contender(place)
                what = {"contender": place.name, "part": part}
                work = lambda: churn.run(self.ground, contender, Shape(1, 0.2), part * bare, self.size.churn_seconds)  # noqa: B023, E731
                await self._note("churn", what, work, "whole_p50")

    async def _bare_rate(self) -> float:
        contender = await self._contender(next(place for place in LINE_UP if place.name == LIMIT))
        return float((await throughput.run(self.ground, contender, Shape(1), self.size.jobs))["jobs_per_s"])

    async def _queue(self) -> None:
        await self._note("queue", {}, lambda: crowded.run(self.ground, self.size.queued), "ended_per_s")

    async def _restart(self) -> None:
        rates = [r["jobs_per_s"] for r in of(self.records.load(), "throughput", contender=LIMIT, pods=1)]
        bare = median(rates) if rates else await self._bare_rate()
        await self._note(
            "restart", {}, lambda: restart.run(self.ground, bare / 2, self.size.churn_seconds), "caught_up"
        )

    async def _many(self) -> None:
        await self._note("many", {}, lambda: many.run(self.ground, self.size.many), "rss_mib")

    async def _reporting(self) -> None:
        await self._note("reporting", {}, lambda: reporting.run(self.ground, self.size.inputs), "seconds")

    # -- inside

    def _places(self, once: bool, among: Sequence[str] = ()) -> list[Place]:
        return [
            place
            for place in LINE_UP
            if place.once is once
            and (not among or place.name in among)
            and (not self.chosen or place.name in self.chosen or (place.name in BARE and among))
        ]

    async def _contender(self, place: Place) -> Contender:
        if place.name not in self._made:
            contender = place.make()
            await contender.prepare(self.ground)
            self._made[place.name] = contender
        return self._made[place.name]

    async def _note(self, workload: str, what: Record, work: Callable[[], Awaitable[Record]], told: str) -> None:
        """A failed run costs its own figures only; the whole then ends with an error."""
        title = " ".join([workload, *(str(value) for value in what.values())])
        began = time.monotonic()
        try:
            record = await work()
        except Exception as problem:  # noqa: BLE001 - whatever it was: hours of other runs are to be kept
            self.failures.append(f"{title}: {problem}")
            say(f"{title}: failed: {''.join(traceback.format_exception(problem)).strip()}")
            return
        self.records.add({"workload": workload, **what, **record, "took": time.monotonic() - began})
        say(f"{title}: {told} {record[told]:.4g} ({time.monotonic() - began:.0f} s)")
