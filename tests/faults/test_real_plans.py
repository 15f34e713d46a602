"""A sample of the plans on the real API server, by a budget of time; `make faults-ci` plays the rest.

One plan alone, with its history: `python -m tests.faults plan real/success/crash-after-commit/3`.
"""

import time

import pytest

from tests.faults import plans
from tests.faults.bench import Bench
from tests.faults.faults import KINDS, Fault
from tests.faults.sweep import LANES, chosen, lanes, references, sweep

BUDGET_SECONDS = 60.0
LEAST_PLANS = 12
pytestmark = pytest.mark.contract


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
