import pytest

from tests.simulate.figures import fair_shares
from tests.simulate.load import GPUS, SIZES, WEEK, arrivals, spread


def test_who_asks_for_less_gets_it_and_the_rest_is_shared_by_weight() -> None:
    assert fair_shares({"a": 10, "b": 100, "c": 100}, {"a": 5, "b": 1, "c": 2}, 70) == {"a": 10, "b": 20, "c": 40}


@pytest.mark.parametrize("load", [0.95, 1.2], ids=str)
def test_the_load_is_what_it_says(load: float) -> None:
    week = arrivals(0, load, 2000)
    assert sum(job.gpus * job.seconds for job in week) == pytest.approx(load * GPUS * WEEK / 5)
    assert {job.gpus for job in week} == set(SIZES)
    assert week == arrivals(0, load, 2000)
    assert 0.5 < spread(load, 10_000, 1) < 1.5


def test_a_load_that_the_median_alone_exceeds_is_refused() -> None:
    with pytest.raises(ValueError, match="more than a load of 0.1"):
        spread(0.1, 10_000, 1)
