import gc
import weakref
from collections.abc import Iterator

import pytest

from batch_operator.handlers.memory import Memory, give_back


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """The garbage collector of this process, as it was."""
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_what_was_set_aside_is_collected_and_what_is_left_set_aside_again() -> None:
    cycle = Cycle()
    gone = weakref.ref(cycle)
    gc.freeze()
    del cycle
    gc.collect()
    assert gone() is not None, "set aside, and not collected"
    give_back()
    assert gone() is None
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize(
    ("course", "expected"),
    [
        ([(30_000, 0), (30_000, 0)], 0),
        ([(30_000, 0), (16_000, 14_000)], 0),
        ([(30_000, 0), (14_000, 16_000)], 1),
        ([(30_000, 0), (14_000, 16_000), (13_000, 16_000)], 1),
        ([(30_000, 0), (0, 30_000), (0, 30_000), (0, 0), (0, 0)], 2),
        ([(1_500, 0), (0, 1_500), (0, 0)], 0),
        ([(100_000, 0), (97_000, 3_000), (97_000, 3_000), (97_000, 0)], 1),
    ],
    ids=[
        "nothing has gone",
        "less than half has gone",
        "half has gone",
        "once for the same half",
        "for those that lived, and for what was remembered of them",
        "a few are not worth it",
        "what was remembered of a few among many",
    ],
)
def test_memory_is_given_back_when_half_of_what_took_it_is_gone(course: list[tuple[int, int]], expected: int) -> None:
    memory = Memory()
    assert sum(memory.is_worth_giving_back(living, dead) for living, dead in course) == expected
