"""A sample of the plans on the real API server, by a budget of time; `make faults-ci` plays the rest.

One plan alone, with its history: `python -m tests.faults plan real/success/crash-after-commit/3`.
"""

import asyncio
import time
from typing import NamedTuple

import pytest

from tests.faults import plans
from tests.faults.bench import Bench
from tests.faults.faults import KINDS, Fault
from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import LANES, chosen, lanes, references, sweep

BUDGET_SECONDS = 60.0
LEAST_PLANS = 12
pytestmark = pytest.mark.contract


class Seeded(NamedTuple):
    """A bug of tests/unit/faults/bugs.py, the scenario that brings it out, and a part of the violation."""

    name: str
    scenario: str
    words: str


SEEDED = (
    Seeded("status-after-children", "success", "before its status allowed it"),
    Seeded("generation-not-told", "hundred-inputs", "observedGeneration is None"),
    Seeded("preemption-is-a-retry", "preempt-and-resume", "pods failed"),
    Seeded("retry-limit-off-by-one", "retries-exhausted", "ended as"),
)


@pytest.mark.timeout(300)
async def test_no_fault_breaks_anything(desk: Bench) -> None:
    began = time.monotonic()
    async with lanes(desk, LANES) as made:
        calm = await references(made)
        pinned = [plans.parse(name) for name in plans.PINNED]
        sample = [plan for plan in chosen(calm, seed=int(time.time())) if plan[1].kind not in plans.SLOW]
        left = max(10.0, BUDGET_SECONDS - (time.monotonic() - began))
        figures = await sweep(made, calm, [*pinned, *sample], left)
    print(figures.table())
    assert figures.found == {}
    assert figures.plans >= LEAST_PLANS, "a sample of the plans was played within the budget"


@pytest.mark.timeout(180)
async def test_seeded_bugs_are_caught_here_too(desk: Bench) -> None:
    """The rest of them: tests/unit/faults. This is to see that what the oracle is shown of a real server will do."""
    async with lanes(desk, len(SEEDED)) as made:
        for lane, bug in zip(made, SEEDED, strict=True):
            lane.bug = bug.name
        plays = [plans.play(lane, SCENARIOS[bug.scenario], Fault()) for lane, bug in zip(made, SEEDED, strict=True)]
        outcomes = await asyncio.gather(*plays)
    for bug, outcome in zip(SEEDED, outcomes, strict=True):
        found = outcome.found + plans.expected(SCENARIOS[bug.scenario], outcome.end)
        assert any(bug.words in words for words in found), f"{bug.name}: found only {found}"


@pytest.mark.parametrize("name", ["real/success/crash-after-commit/3", "real/room-for-one/reference", *plans.PINNED])
def test_a_plan_has_a_name(name: str) -> None:
    scenario, fault = plans.parse(name)
    assert f"real/{scenario.name}/{fault}" == name


@pytest.mark.parametrize("name", ["real/success/no-such-fault/1", "real/no-such-scenario/crash-before-send/1"])
def test_what_is_no_plan_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="there are"):
        plans.parse(name)


def test_every_kind_belongs_to_a_group() -> None:
    assert {Fault(kind).group for kind in KINDS} == {"reference", "crash", "error answer", "connection", "watch"}
