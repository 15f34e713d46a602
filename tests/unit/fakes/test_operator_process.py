"""The simulated process: what it remembers, what a crash costs it, and what stands between it and its server."""

import pytest

from batch_operator.cluster.resource_paths import BATCH_JOBS
from tests.fakes.faults import Fault
from tests.fakes.world import Restless, World
from tests.unit.faults.scenario import JOB, NAMESPACE
from tests.unit.faults.scenarios import SCENARIOS

PATH = BATCH_JOBS.path(NAMESPACE, JOB)


def world_of(scenario: str, fault: str = "reference") -> World:
    world = World(SCENARIOS[scenario].script, Fault.parse(fault))
    SCENARIOS[scenario].set_up(world)
    return world


def status(world: World) -> str:
    return str(world.server.get(PATH).get("status", {}).get("status"))


async def test_it_brings_a_job_to_its_end() -> None:
    world = world_of("success")
    seen = []
    for second in (0, 5, 30):
        await world.run_until(second)
        seen.append(status(world))
    assert seen == ["ADMITTED", "RUNNING", "COMPLETED"]


async def test_a_crash_loses_its_memory_and_the_next_one_lists_again() -> None:
    world = world_of("success", "crash-before-send/2")
    await world.run_until(1)
    (first,) = world.operators
    assert not first.alive
    assert len(first.client.sent) == 2, "the third write was never sent"
    await world.run_until(60)
    assert [operator.alive for operator in world.operators] == [False, True]
    assert world.operators[1].client.sent
    assert status(world) == "COMPLETED"


@pytest.mark.parametrize(("moment", "pods"), [("before-send", 0), ("after-commit", 1), ("after-reply", 1)])
async def test_a_crash_strikes_before_or_after_the_commit(moment: str, pods: int) -> None:
    world = world_of("bad-config", f"crash-{moment}/2")
    await world.run_until(1)
    assert len(world.server.list_page("/api/v1/pods")["items"]) == pods


async def test_a_stopped_operator_sends_nothing_until_it_goes_on() -> None:
    world = world_of("no-image", "paused/2")
    await world.run_until(100)
    first, second = world.operators
    assert second.client.sent
    at = [sent.at for sent in first.client.sent]
    assert [time for time in at if 0 < time < 40] == []
    assert max(at) >= 40


async def test_an_operator_that_never_rests_is_noticed() -> None:
    world = world_of("success")
    await world.run_until(1)
    (operator,) = world.operators
    operator._audit = lambda: _true()  # type: ignore[method-assign]
    with pytest.raises(Restless):
        await world.run_for(1)


async def _true() -> bool:
    return True
