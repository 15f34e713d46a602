"""Who gives way, on bare numbers. Candidates are given in their order, the cheapest first: (name, level, amounts)."""

import pytest

from batch_operator.scheduling.preemption import Candidate, choose
from tests.unit.batch_operator.scheduling.scenes import holder

Given = tuple[str, int, tuple[int, ...]]


def chosen(needs: tuple[int, ...], available: tuple[int, ...], *given: Given) -> set[str]:
    candidates = [
        Candidate(level, holder(name), tuple((place, n) for place, n in enumerate(amounts) if n))
        for name, level, amounts in given
    ]
    found = choose(tuple(enumerate(needs)), available, candidates)
    names = [candidate.holder.uid for candidate in found]
    assert len(set(names)) == len(names)
    return set(names)


@pytest.mark.parametrize(
    ("need", "given", "gone"),
    [
        (5, [("a", 0, 2), ("b", 1, 2), ("c", 2, 4)], {"a", "c"}),
        (3, [("big", 0, 4), ("small", 0, 1), ("mid", 0, 3)], {"mid"}),
        (4, [("a", 0, 3), ("b", 0, 3), ("small", 0, 2)], {"small", "a"}),
        (4, [("a", 0, 3), ("b", 0, 3), ("s", 0, 1), ("t", 0, 1)], {"a", "s"}),
        (6, [("a", 0, 3), ("b", 0, 2), ("c", 0, 4)], {"b", "c"}),
        (7, [("a", 0, 5), ("b", 1, 3), ("c", 1, 4)], {"a", "b"}),
        (2, [("big", 0, 6), ("small", 1, 2)], {"big"}),
        (9, [("a", 0, 4), ("b", 0, 4)], set()),
    ],
    ids=[
        "the dearest are put back first",
        "one that is too small does not help",
        "none goes twice",
        "smaller ones only as long as it is enough",
        "one that was put back may be the smaller one",
        "none of a higher priority for a larger one of a lower",
        "nor for one alone",
        "not enough",
    ],
)
def test_victims(need: int, given: list[tuple[str, int, int]], gone: set[str]) -> None:
    assert chosen((need,), (0,), *((name, level, (amount,)) for name, level, amount in given)) == gone


def test_one_that_gives_more_of_anything_is_not_smaller() -> None:
    """With it another one would go in vain."""
    assert chosen((4, 4), (0, 0), ("b", 0, (0, 1)), ("a", 0, (6, 3)), ("o", 0, (4, 4))) == {"a", "b"}


def test_who_holds_nothing_of_what_lacks_stays() -> None:
    assert chosen((4, 4), (0, 4), ("cpu", 0, (0, 4)), ("gpu", 0, (4, 0))) == {"gpu"}


def test_what_an_over_full_queue_lacks_is_given_back_too() -> None:
    assert chosen((2,), (-3,), ("a", 0, (4,)), ("b", 0, (4,))) == {"a", "b"}
