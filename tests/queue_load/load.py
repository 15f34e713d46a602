"""Thousands of jobs in one Queue with quota for a few: what a cycle of the scheduler costs, how often places are
written, and how much memory it takes.
"""

import asyncio
import sys
import time
from dataclasses import dataclass

from tests.faults.bench import Bench
from tests.queue_load.ground import ENDED, GPU, Ground
from tests.queue_load.metrics import Histogram, Processor, most_memory
from tests.queue_load.moves import most_a_second, wrong_places

MOST_CYCLE_SECONDS = 0.05
MOST_MOVES = 20.0
MOST_MIB = 300.0
JUDGED = 0.99
"""Of the cycles; the others share their core with a control plane."""
SPAN_SECONDS = 5.0
"""Over so long writes a second are counted: what is sent evenly comes in bursts."""
POD_SECONDS = 1.5
NODES = 4


@dataclass(frozen=True)
class Plan:
    """`places`: at the end the queue is stopped until every place is told right. `to_the_end`: then all jobs run."""

    jobs: int
    running: int = 8
    seconds: float = 60.0
    places: bool = False
    to_the_end: bool = False


@dataclass(frozen=True)
class Figures:
    plan: Plan
    first: float
    """Seconds from the first job's creation until every one had a status."""
    depth: tuple[int, int]
    """Jobs that waited, at the begin and at the end of the measured time."""
    ended: int
    cycles: Histogram
    share: float
    """Of the time in which the operator could have run, the part in which it had a core."""
    moves: int
    most_moves: float
    mib: float
    found: tuple[str, ...] = ()

    def bars(self) -> list[tuple[bool, str]]:
        within = self.cycles.part_within(MOST_CYCLE_SECONDS)
        quantile = self.cycles.quantile_bound(JUDGED)
        return [
            (
                self.cycles.count > 0 and within >= JUDGED,
                f"a cycle of the scheduler takes {self.cycles.mean * 1000:.1f} ms on average, {JUDGED:.0%} of "
                f"{self.cycles.count} at most {quantile * 1000:.0f} ms (≤ {MOST_CYCLE_SECONDS * 1000:.0f})",
            ),
            (
                0 < self.most_moves <= MOST_MOVES,
                f"status writes for queue moves: {self.moves} in {self.plan.seconds:.0f} s, at most "
                f"{self.most_moves:.1f} a second over {SPAN_SECONDS:.0f} s (≤ {MOST_MOVES:.0f})",
            ),
            (self.mib <= MOST_MIB, f"resident memory at most {self.mib:.0f} MiB (≤ {MOST_MIB:.0f})"),
            *((False, what) for what in self.found),
        ]

    def table(self) -> str:
        rows = [
            ("jobs in the queue, begin and end", f"{self.depth[0]}, {self.depth[1]}"),
            ("until each of them had a status", f"{self.first:.0f} s"),
            (f"ended in {self.plan.seconds:.0f} s", f"{self.ended}"),
            ("cycle of the scheduler, mean", f"{self.cycles.mean * 1000:.1f} ms"),
            (f"… {JUDGED:.0%} of {self.cycles.count} within", f"{self.cycles.quantile_bound(JUDGED) * 1000:.0f} ms"),
            ("… of the time that it could run, it had a core", f"{self.share:.0%}"),
            ("writes for queue moves, mean", f"{self.moves / self.plan.seconds:.1f} a second"),
            (f"… most, over {SPAN_SECONDS:.0f} s", f"{self.most_moves:.1f} a second"),
            ("resident memory, most", f"{self.mib:.0f} MiB"),
        ]
        return "\n".join([f"| {self.plan.jobs} jobs | |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)])


async def run(bench: Bench, plan: Plan) -> Figures:
    """Fails where a job is lost."""
    ground = Ground(bench, NODES)
    try:
        await ground.open({"quota": {GPU: plan.running}})
        began = time.monotonic()
        await ground.submit(f"job-{number:05}" for number in range(plan.jobs + plan.running))
        _say(began, "jobs are made")
        await ground.until("every job has its status", lambda: _all_known(ground, plan), 60 + plan.jobs / 20)
        _say(began, f"{plan.jobs} jobs wait")
        first = max(fate.first_status for fate in ground.fates.values()) - began
        figures = await _measure(ground, plan, first)
        _say(began, f"measured\n{figures.table()}")
        if plan.places:
            await _all_places(ground, plan)
        if plan.to_the_end:
            await ground.change_queue(stop="None", quota={GPU: 8 * NODES})
            await ground.until("every job has completed", lambda: _all_completed(ground), 60 + plan.jobs)
        return figures
    finally:
        await ground.close()


async def _measure(ground: Ground, plan: Plan, first: float) -> Figures:
    """Jobs end all the time, each moves the whole line, for `plan.seconds`."""
    depth = len(ground.in_state("PENDING"))
    ground.seconds_of = lambda _: POD_SECONDS
    before, moves = await ground.cycles(), len(ground.moves)
    processor = Processor.read(ground.operator.process.pid)
    ended = len(ground.in_state(*ENDED))
    await ground.let_go()
    await asyncio.sleep(plan.seconds)
    await ground.until("the operator lives", lambda: True, 1)
    cycles, moves = (await ground.cycles()).since(before), len(ground.moves) - moves
    left = len(ground.in_state("PENDING"))
    gone = len(ground.in_state(*ENDED)) - ended
    found = [] if gone else ["no job ended"]
    if over := _over_quota(ground, plan.running):
        found.append(over)
    return Figures(
        plan,
        first,
        (depth, left),
        gone,
        cycles,
        Processor.read(ground.operator.process.pid).share_since(processor),
        moves,
        # moves before the measured time count too: "at any load"
        most_a_second(ground.moves, SPAN_SECONDS),
        most_memory(ground.operator.process.pid),
        tuple(found),
    )


def _over_quota(ground: Ground, quota: int) -> str:
    """Each job has one GPU."""
    times = [span for fate in ground.fates.values() for span in fate.holds]
    ends = [(since, 1) for since, _ in times] + [(until, -1) for _, until in times]
    held = most = 0
    for _, change in sorted(ends):
        held += change
        most = max(most, held)
    return f"{most} GPUs in use at once, the quota is {quota}" if most > quota else ""


async def _all_places(ground: Ground, plan: Plan) -> None:
    """Once nobody comes or goes, every job is told its place."""
    await ground.change_queue(stop="Hold")
    patience = 30 + 2 * plan.jobs / MOST_MOVES
    wrong: list[str] = []

    def right() -> bool:
        nonlocal wrong
        wrong = wrong_places(fate.stored for fate in ground.fates.values() if fate.state == "PENDING")
        return not wrong

    try:
        await ground.until("places", right, patience)
    except AssertionError as problem:
        raise AssertionError(f"{problem}; wrong: {'; '.join(wrong[:5])} ({len(wrong)} in all)") from None


def _all_known(ground: Ground, plan: Plan) -> bool:
    waiting = [f for f in ground.fates.values() if f.state == "PENDING" and "queue_position" in f.status]
    return len(waiting) == plan.jobs


def _all_completed(ground: Ground) -> bool:
    return len(ground.in_state("COMPLETED")) == len(ground.fates)


def _say(began: float, words: str) -> None:
    print(f"{time.monotonic() - began:4.0f} s: {words}", file=sys.stderr, flush=True)
