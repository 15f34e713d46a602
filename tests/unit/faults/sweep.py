"""Runs many plans in several processes and counts what came of them. Used by __main__ and test_sweep."""

import asyncio
import gc
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from tests.unit.faults.plans import PAIR, faults, judge, parse, reference, single
from tests.unit.faults.scenarios import SCENARIOS

CHUNK = 25


@dataclass
class Tally:
    """Plans and violations by kind; `effort`: the most writes of a plan with one fault, by its reference's."""

    plans: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    effort: float = 0.0
    dearest: str = ""

    def add(self, other: "Tally") -> None:
        self.plans += other.plans
        self.broken += other.broken
        self.violations += other.violations
        if other.effort > self.effort:
            self.effort, self.dearest = other.effort, other.dearest

    def table(self) -> str:
        width = max((len(kind) for kind in self.plans), default=4)
        lines = [f"{'kind':{width}}  plans  broken"]
        lines += [f"{kind:{width}}  {self.plans[kind]:5}  {self.broken[kind]:6}" for kind in sorted(self.plans)]
        return "\n".join([*lines, f"{'all':{width}}  {self.plans.total():5}  {self.broken.total():6}"])


async def every_plan(pairs: int = 0, seed: int = 1) -> list[str]:
    """The names of all plans with one fault and of as many with two, in the order of `drawn`."""
    return drawn([*await single_names(), *pair_names(pairs, seed)], seed)


async def single_names() -> list[str]:
    """Every plan with one fault."""
    return [
        single(scenario, fault).name
        for scenario in SCENARIOS.values()
        for fault in faults(scenario, await reference(scenario))
    ]


def pair_names(count: int, seed: int) -> list[str]:
    """Plans with two faults, shared out among the scenarios."""
    scenarios = itertools.islice(itertools.cycle(SCENARIOS), count)
    return [f"{name}/{PAIR}/{seed + number // len(SCENARIOS)}" for number, name in enumerate(scenarios)]


def drawn(names: Iterable[str], seed: int) -> list[str]:
    """All of them in an order by chance in which every kind comes as early as any other."""
    draw = random.Random(seed)
    by_kind: dict[str, list[str]] = {}
    for name in names:
        by_kind.setdefault(name.split("/")[1], []).append(name)
    for group in by_kind.values():
        draw.shuffle(group)
    rounds = itertools.zip_longest(*by_kind.values())
    return [name for turn in rounds for name in turn if name is not None]


def run_all(
    names: Sequence[str],
    *,
    processes: int = 1,
    seconds: float | None = None,
    progress: Callable[[Tally, int], None] = lambda *_: None,
) -> Tally:
    """Plays the plans in this order, or as many of them as there is time for."""
    deadline = None if seconds is None else time.monotonic() + seconds
    tally = Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        running = {pool.submit(_play, chunk, deadline) for chunk in _chunks(names)}
        for done in as_completed(running):
            tally.add(done.result())
            progress(tally, len(names))
    return tally


async def played(names: Iterable[str], deadline: float | None = None) -> Tally:
    tally = Tally()
    for name in names:
        if deadline is not None and time.monotonic() > deadline:
            break
        plan = await parse(name)
        verdict = await judge(plan)
        tally.plans[plan.kind] += 1
        tally.broken[plan.kind] += bool(verdict.found)
        tally.violations += [f"{name}: {words}" for words in verdict.found]
        if plan.kind != PAIR and verdict.effort > tally.effort:
            tally.effort, tally.dearest = verdict.effort, name
    return tally


def quiet() -> None:
    """The operator's log lines cost more than its work here, and nobody reads them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _prepare() -> None:
    """A process that only plays: what it has loaded stays, and worlds are small."""
    quiet()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _play(names: list[str], deadline: float | None) -> Tally:
    return asyncio.run(played(names, deadline))


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), CHUNK):
        yield list(names[start : start + CHUNK])
