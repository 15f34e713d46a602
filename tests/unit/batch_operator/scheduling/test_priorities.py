import pytest

from batch_operator.scheduling.priorities import Levels


@pytest.mark.parametrize(
    ("priority", "preemptions", "level"),
    [(0, 0, 0), (0, 1, 0), (0, 2, 50), (0, 3, 50), (0, 4, 900), (0, 6, 901), (0, 99, 901), (50, 4, 901), (900, 2, 901)],
    ids=lambda value: str(value),
)
def test_every_second_preemption_leads_to_the_next_priority_in_use(priority: int, preemptions: int, level: int) -> None:
    assert Levels([0, 50, 900, 50]).effective(priority, preemptions) == level
