"""As many plans as there is time for, of every kind: the same end, and no rule broken on the way.

BATCH_FAULTS_SECONDS: how much time. All plans: `python -m tests.unit.faults --all --processes 2`; one alone, with its
history: `python -m tests.unit.faults <scenario>/<fault>/<k>`.
"""

import asyncio
import os

import pytest

from tests.fakes.faults import Kind
from tests.unit.faults.plans import pair, parse, reference, single
from tests.unit.faults.scenarios import SCENARIOS
from tests.unit.faults.sweep import drawn, every_plan, played, run_all, single_names

SECONDS = float(os.environ.get("BATCH_FAULTS_SECONDS", "60"))
PAIRS = 500


@pytest.mark.timeout(SECONDS + 120)
def test_no_fault_breaks_anything() -> None:
    names = asyncio.run(every_plan(PAIRS))
    tally = run_all(names, processes=2, seconds=SECONDS)
    print(tally.table())
    assert tally.plans.total() >= len(Kind), "there was no time even for one plan of each kind"
    assert not tally.violations, "\n".join(tally.violations)


async def test_every_kind_of_fault_has_its_place() -> None:
    kinds = {(await parse(name)).kind for name in await single_names()}
    assert kinds == set(Kind) - {Kind.NONE}


async def test_what_is_found_is_told_by_name_and_kind() -> None:
    tally = await played(["success/reference", "success/429/1"])
    assert (tally.plans, tally.violations) == ({"reference": 1, "429": 1}, [])
    assert 0.9 < tally.effort < 1.5


def test_every_kind_comes_early() -> None:
    names = [f"s/{kind}/{k}" for kind in ("a", "b", "c") for k in range(10)]
    assert {name.split("/")[1] for name in drawn(names, 1)[:3]} == {"a", "b", "c"}
    assert drawn(names, 1) == drawn(names, 1) != drawn(names, 2)


@pytest.mark.parametrize(
    "name", ["success/crash-after-commit/3", "bad-config/two-operators/1", "no-image/reference", "success/pair/7"]
)
async def test_a_plan_has_a_name(name: str) -> None:
    assert (await parse(name)).name == name


async def test_a_pair_is_the_same_for_its_seed() -> None:
    scenario = SCENARIOS["success"]
    one, again, other = [(await pair(scenario, seed)).faults for seed in (7, 7, 8)]
    assert one == again != other
    singles = {single(scenario, fault).name for fault in one}
    assert singles <= set(await single_names())
    assert (await reference(scenario)).found == []
