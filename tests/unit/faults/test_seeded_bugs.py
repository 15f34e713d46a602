"""The oracle is tested too: each bug seeded into the operator is caught by the plan that is named for it."""

import pytest

from tests.unit.faults.bugs import Bug
from tests.unit.faults.seeded import BUGS, catch


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_it_is_caught(bug: Bug) -> None:
    await catch(bug)
