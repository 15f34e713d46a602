import pytest

from tests.simulate.figures import by_priority, by_weight, fair_shares, index
from tests.simulate.load import GPUS, SIZES, WEEK, WEIGHTS, arrivals, spread


def test_who_asks_for_less_gets_it_and_the_rest_is_shared_by_weight() -> None:
    found = fair_shares({"a": 10, "b": 100, "c": 100}, {"a": 5, "b": 1, "c": 2}, 70)
    assert found == pytest.approx({"a": 10, "b": 20, "c": 40})


def test_what_one_has_already_counts() -> None:
    found = fair_shares({"a": 100, "b": 100}, {"a": 1, "b": 1}, 60, {"a": 50, "b": 0})
    assert found == pytest.approx({"a": 50, "b": 10})


def test_higher_priorities_are_due_first_whosever_they_are() -> None:
    asked = {(1000, "team-a"): 60.0, (0, "team-a"): 60.0, (0, "team-e"): 60.0}
    assert by_priority(asked, 90) == pytest.approx(dict.fromkeys(WEIGHTS, 0) | {"team-a": 60, "team-e": 30})
    assert by_weight(asked, 90) == pytest.approx(dict.fromkeys(WEIGHTS, 0) | {"team-a": 30, "team-e": 60})


def test_jains_index() -> None:
    assert index([2, 2, 2]) == pytest.approx(1)
    assert index([1, 0, 0, 0]) == pytest.approx(1 / 4)


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
