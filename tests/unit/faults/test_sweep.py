"""Every single fault at every write and watch event: the same end, and no rule broken on the way.

BATCH_FAULTS=all runs all plans; without it some of the dearer ones are left out (plans.sample). One plan alone,
with its history: `python -m tests.unit.faults <scenario>/<fault>/<k>`.
"""

import os

import pytest

from tests.fakes.faults import Kind
from tests.unit.faults.plans import faults, judge, parse, reference, sample
from tests.unit.faults.scenarios import SCENARIOS, Scenario

EVERYTHING = os.environ.get("BATCH_FAULTS") == "all"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
async def test_no_single_fault_breaks_anything(scenario: Scenario) -> None:
    calm = await reference(scenario)
    found: list[str] = []
    plans = list(faults(calm))
    for fault in plans if EVERYTHING else sample(plans):
        found += [f"{scenario.name}/{fault}: {words}" for words in await judge(scenario, fault, calm)]
    assert not found, "\n".join(found)


async def test_every_kind_of_fault_has_its_place() -> None:
    kinds = {fault.kind for scenario in SCENARIOS.values() for fault in faults(await reference(scenario))}
    assert kinds == set(Kind) - {Kind.NONE}


@pytest.mark.parametrize("name", ["success/crash-after-commit/3", "worker-fails/two-operators/1", "no-image/reference"])
def test_a_plan_has_a_name(name: str) -> None:
    scenario, fault = parse(name)
    assert f"{scenario.name}/{fault}" == name
