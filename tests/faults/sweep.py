"""`Sweep`: many plans on the real API server, in several lanes at the same time. Used by __main__ and the tests."""

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults import faults, plans
from tests.faults.bench import Bench
from tests.faults.faults import Fault
from tests.faults.lane import Lane
from tests.faults.plans import Outcome
from tests.faults.scenarios import SCENARIOS, Scenario

LANES = 6
Plan = tuple[Scenario, Fault]
T = TypeVar("T")
TELL_SECONDS = 10.0
Say = Callable[[str], None]


@dataclass
class Figures:
    """What a sweep has to report. `missed`: the fault found no k-th write or event in that play."""

    played: Counter[str] = field(default_factory=Counter)
    found: dict[str, list[str]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    most_writes: float = 0.0
    seconds: float = 0.0

    @property
    def plans(self) -> int:
        return sum(self.played.values())

    @property
    def violations(self) -> int:
        return sum(len(lines) for lines in self.found.values())

    def table(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.played.items()))
        return (
            f"plans on the real API server: {self.plans} in {self.seconds:.0f} s ({kinds}); "
            f"{self.violations} violations; at most {self.most_writes:.2f} times the writes without a fault"
        )


@contextlib.asynccontextmanager
async def lanes(bench: Bench, count: int) -> AsyncIterator[list[Lane]]:
    """Open lanes; gone afterwards."""
    made = [Lane(number, bench) for number in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for lane in made:
            stack.push_async_callback(lane.close)
        await asyncio.gather(*(lane.open() for lane in made))
        yield made


async def references(made: Sequence[Lane], names: Sequence[str] = tuple(SCENARIOS)) -> dict[str, Outcome]:
    """The calm play of each scenario. Raises AssertionError where one of them does not end as it says."""
    calm: dict[str, Outcome] = {}

    async def one(lane: Lane, name: str) -> None:
        outcome = await plans.play(lane, SCENARIOS[name], Fault())
        wrong = outcome.found + plans.expected(SCENARIOS[name], outcome.end)
        if wrong:
            lane.keep_log()
        assert not wrong, f"real/{name}/reference: {'; '.join(wrong)}; the operator's log is {lane.log}"
        calm[name] = outcome

    await _in_lanes(made, list(names), one)
    return calm


async def sweep(
    made: Sequence[Lane], calm: dict[str, Outcome], todo: Sequence[Plan], seconds: float = 0.0, say: Say = print
) -> Figures:
    """Plays them all, or those that, without their fault, would end within `seconds`."""
    figures = Figures()
    began = told = time.monotonic()

    async def one(lane: Lane, plan: Plan) -> None:
        scenario, fault = plan
        if seconds and time.monotonic() - began + calm[scenario.name].seconds > seconds:
            return
        name = f"real/{scenario.name}/{fault}"
        outcome = await plans.play(lane, scenario, fault)
        reference = calm[scenario.name]
        found = plans.compare(reference, outcome)
        if found:
            lane.keep_log()
            figures.found[name] = found
            say("\n".join(f"{name}: {words}" for words in found))
        if fault.kind != faults.NONE and not outcome.struck:
            figures.missed.append(name)
            return
        figures.played[fault.group] += 1
        figures.most_writes = max(figures.most_writes, len(outcome.writes) / max(1, len(reference.writes)))
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            print(f"{told - began:4.0f} s: {figures.plans} of {len(todo)} plans", file=sys.stderr, flush=True)

    await _in_lanes(made, list(todo), one)
    figures.seconds = time.monotonic() - began
    return figures


def chosen(calm: dict[str, Outcome], everything: bool = False, seed: int = 0) -> list[Plan]:
    """The plans in a shuffled order, so that the first n are a fair sample."""
    todo: list[Plan] = []
    for number, (name, outcome) in enumerate(sorted(calm.items())):
        found = (
            plans.all_faults(outcome)
            if everything
            else plans.chosen_faults(outcome, number, sampled=SCENARIOS[name].sampled)
        )
        todo += [(SCENARIOS[name], fault) for fault in found]
    random.Random(seed).shuffle(todo)
    return todo


async def _in_lanes(made: Sequence[Lane], todo: list[T], one: Callable[[Lane, T], Coroutine[Any, Any, None]]) -> None:
    waiting = list(reversed(todo))

    async def work(lane: Lane) -> None:
        while waiting:
            await one(lane, waiting.pop())

    async with asyncio.TaskGroup() as group:
        for lane in made:
            group.create_task(work(lane))
