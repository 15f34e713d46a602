import pytest

from batch_operator.scheduling.observed import WaitingJob
from batch_operator.scheduling.positions import step
from batch_operator.scheduling.schedule import schedule
from tests.unit.batch_operator.scheduling.scenes import cluster, holder, queue, waiting


@pytest.mark.parametrize(
    ("place", "told"),
    [(1, 1), (10, 10), (11, 20), (20, 20), (21, 30), (90, 90), (91, 100), (100, 100), (101, 200), (9001, 10_000)],
    ids=str,
)
def test_steps(place: int, told: int) -> None:
    assert step(place) == told


def test_namespaces_take_turns_by_weight() -> None:
    jobs = [waiting(f"{team}{n}", 8, age=90 - n, namespace=team) for n in range(4) for team in ("a", "b")]
    found = schedule(cluster(jobs, [holder("h", namespace="other")], of=queue(8, weights={"b": 2})))
    assert sorted(found.positions, key=found.positions.__getitem__) == ["a0", "b0", "b1", "a1", "b2", "b3", "a2", "a3"]


def places(*jobs: WaitingJob) -> list[str]:
    found = schedule(cluster(jobs, [holder("h", 8, namespace="other")]))
    return sorted(found.positions, key=found.positions.__getitem__)


def test_what_comes_first_by_priority_counts_for_the_share() -> None:
    high = waiting("a-high", 4, age=1, namespace="a", priority=1)
    low = [waiting("a-low", age=900, namespace="a"), waiting("b-low", age=1, namespace="b")]
    assert places(high, *low) == ["a-high", "b-low", "a-low"]


@pytest.mark.parametrize("others", [[], [waiting("b", 8, namespace="b", age=1)]], ids=["alone", "beside others"])
def test_jobs_of_one_namespace_keep_their_order_whatever_they_ask_for(others: list[WaitingJob]) -> None:
    mine = [waiting("1", 1, age=9), waiting("2", 2, age=8), waiting("3", 1, age=7)]
    assert [uid for uid in places(*mine, *others) if uid != "b"] == ["1", "2", "3"]
