"""Each scenario without any fault ends as it says; two plays of one plan are the same to the last byte."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.faults import Fault, Kind
from tests.fakes.resource_types import BATCH_JOBS
from tests.unit.faults.end_state import job_statuses
from tests.unit.faults.plans import play, reference, single
from tests.unit.faults.scenario import Scenario
from tests.unit.faults.scenarios import SCENARIOS


@pytest.fixture(params=list(SCENARIOS.values()), ids=list(SCENARIOS))
def scenario(request: pytest.FixtureRequest) -> Scenario:
    found: Scenario = request.param
    return found


def holds(expected: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(
        holds(value, found[key]) if isinstance(value, Mapping) else found[key] == value
        for key, value in expected.items()
    )


async def test_it_ends_as_it_says_and_breaks_no_rule(scenario: Scenario) -> None:
    outcome = await reference(scenario)
    assert outcome.found == []
    if scenario.expects is None:
        assert outcome.jobs == {}
    else:
        expected = {name: scenario.expects_of.get(name, scenario.expects) for name in scenario.jobs}
        assert set(outcome.jobs) == {name for name, ends in expected.items() if ends is not None}
        for name, status in outcome.jobs.items():
            assert holds(expected[name] or {}, status), status
    if scenario.passes:
        assert tuple(job_statuses(outcome.history)) == scenario.passes
    if scenario.pods is not None:
        assert sum(outcome.pods.values()) == scenario.pods


async def test_the_same_plan_is_the_same_history() -> None:
    plan = single(SCENARIOS["success"], Fault(Kind.TIMEOUT_AFTER, 3))
    one, other = [await play(plan) for _ in range(2)]
    assert one.history == other.history


async def test_a_job_without_trouble_costs_what_the_design_allows() -> None:
    """n pods, 1 ConfigMap, 3 status patches, 1 Event; progress apart (design section 5)."""
    outcome = await reference(SCENARIOS["too-many-failed-inputs"])
    assert len(outcome.sent) == 2 + 1 + 3 + 1


async def test_a_quota_shows_in_the_status_and_passes() -> None:
    outcome = await reference(SCENARIOS["quota-none"])
    assert job_statuses(outcome.history) == ["ADMITTED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"]
    jobs = [c.object for c in outcome.history if c.resource is BATCH_JOBS]
    waiting = [job["status"]["message"] for job in jobs if (job.get("status") or {}).get("status") == "PENDING"]
    assert "exceeded quota: pods" in waiting[0]
