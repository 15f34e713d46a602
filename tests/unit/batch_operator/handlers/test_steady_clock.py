"""Time for decisions does not follow a stepped wall clock."""

from datetime import UTC, datetime

import pytest

from batch_operator.handlers.steady_clock import SteadyClock

START = datetime(2026, 4, 14, 10, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("step", [0, 86_400, -86_400], ids=["no step", "a day on", "a day back"])
def test_a_step_of_the_wall_clock_changes_nothing(step: float) -> None:
    wall, uptime = [START], [500.0]
    now = SteadyClock(lambda: wall[0], lambda: uptime[0])
    wall[0], uptime[0] = START + 7.9 + step, 507.9
    assert now() == datetime(2026, 4, 14, 10, 0, 7, tzinfo=UTC)
