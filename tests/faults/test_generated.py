"""A few of the generated objects; `make faults-ci` sends 10,000."""

import pytest

from tests.faults import generated
from tests.faults.bench import Bench
from tests.faults.strategies import cases

COUNT = 300
pytestmark = pytest.mark.contract


@pytest.mark.timeout(240)
async def test_no_object_stops_the_operator_or_delays_another_job(desk: Bench) -> None:
    figures = await generated.run(desk, COUNT, seed=1)
    print(figures.table())
    assert figures.found == []
    assert figures.sent == COUNT
    assert figures.accepted["BatchJob"] >= COUNT / 4, "enough of them reached the operator"
    assert set(figures.reached) >= {"PENDING", "FAILED"}
    assert sum(figures.refused.values()) >= COUNT / 10


def test_the_same_seed_is_the_same_objects() -> None:
    assert cases(20, number=7) == cases(20, number=7)
    assert cases(20, number=7) != cases(20, number=8)
