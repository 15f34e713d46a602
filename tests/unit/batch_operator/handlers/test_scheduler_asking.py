"""A job asks in its pass: where nothing else is to be done the scheduler answers within it, else in its next cycle."""

import itertools

import pytest

from batch_operator.handlers.keys import Chore
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.reconcile import queue_entry
from batch_operator.scheduling import turns
from tests.builders import make_batchjob, make_queued_job, make_spec
from tests.unit.batch_operator.handlers.queue_scene import METRICS, Scene


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_new_job_is_told_at_once_that_it_waits(scene: Scene) -> None:
    scene.holds("holder", 4)
    scene.cycle()
    await scene.to_do()
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="new", uid="new"))
    assert scene.asks(job)
    assert turns.of(scene.seen.decisions, "new", "research", tell=False) is not None
    assert await scene.jobs_to_do() == [], "the pass that asks goes on"
    scene.cycle()
    assert await scene.jobs_to_do() == [], "once"


async def test_a_new_job_whose_turn_it_is_gets_it_within_its_pass(scene: Scene) -> None:
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="new", uid="new"))
    await scene.to_do()
    assert scene.asks(job)
    assert scene.granted == {"new"}
    assert await scene.jobs_to_do() == [], "the pass that asks goes on"


async def test_others_whose_turn_comes_with_it_are_looked_at(scene: Scene) -> None:
    scene.holds("holder", 4)
    scene.waits("waits", 2)
    scene.cycle()
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="new", uid="new"))
    scene.ends("holder")
    await scene.to_do()
    assert scene.asks(job)
    assert scene.granted == {"new", "waits"}
    assert await scene.jobs_to_do() == ["waits"]


async def test_a_job_that_asks_right_after_a_cycle_waits_for_the_next_one(scene: Scene) -> None:
    ticks = itertools.count()
    slow = Scheduler(scene.seen, scene.queue, scene.clock.now, METRICS, scene.clock.time, lambda: next(ticks) / 100)
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one"))
    asks = queue_entry.waiting(make_queued_job("one", 1))
    slow.run()
    await scene.to_do()
    assert not slow.ask(job, asks)
    assert (scene.granted, await scene.to_do()) == (set(), [])
    scene.clock.advance(1.0)
    assert Chore.SCHEDULE in await scene.to_do()
    slow.run()
    assert scene.granted == {"one"}


async def test_what_a_cycle_waited_for_a_processor_is_not_waited_for_once_more(scene: Scene) -> None:
    moments = itertools.count(step=60)
    stopped = Scheduler(scene.seen, scene.queue, scene.clock.now, METRICS, lambda: next(moments), lambda: 0.0)
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one"))
    stopped.run()
    await scene.to_do()
    assert stopped.ask(job, queue_entry.waiting(make_queued_job("one", 1)))
    assert scene.granted == {"one"}


async def test_a_job_that_asks_while_others_wait_for_their_passes_is_answered_with_them(scene: Scene) -> None:
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one"))
    await scene.to_do()
    scene.queue.add(("team-a", "another"))
    assert not scene.asks(job)
    assert scene.granted == set()
    assert Chore.SCHEDULE in await scene.to_do()


async def test_a_job_that_asks_for_something_else_is_told_again(scene: Scene) -> None:
    scene.holds("holder", 4)
    job = scene.new("new")
    scene.cycle()
    await scene.to_do()
    scene.queue.add(("team-a", "another"))
    assert not scene.asks(job, 2)
    await scene.to_do()
    scene.cycle()
    assert await scene.jobs_to_do() == ["new"]


async def test_what_a_job_asked_that_was_edited_meanwhile_is_not_heard(scene: Scene) -> None:
    before = make_batchjob(make_spec(queue="research"), name="one", uid="one", resourceVersion="1")
    scene.heard(before)
    scene.asks(before)
    assert scene.cycle().pending == {}
    assert scene.granted == set()


async def test_nor_of_one_that_was_deleted_meanwhile(scene: Scene) -> None:
    job = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one"))
    scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
    scene.asks(job)
    scene.cycle()
    assert scene.granted == set()
    assert not scene.scheduler._asks
