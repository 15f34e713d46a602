"""Nobody tells the scheduler that a namespace's labels have changed: where they count, somebody looks."""

import pytest

from batch_operator.api.v1alpha1.batch_queue import LabelSelector, QueueRecord
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import NamespaceLabels, Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Chore, Key
from batch_operator.handlers.scheduler import Scheduler
from tests.builders import make_batchjob, make_spec
from tests.fakes.clock import SimulatedClock
from tests.unit.batch_operator.handlers.queue_scene import taken_off

ASKED = {"status": "PENDING", "ledger": {"admission": {"pods": {"worker": {"count": 1}}}}}


class Scene:
    """Two jobs of team-a that wait in the Queue gold, which is open to namespaces with this label; one cycle ago."""

    def __init__(self, label: str) -> None:
        self.clock = SimulatedClock()
        self.seen = Observations()
        self.queue: WorkQueue[Key] = WorkQueue(timers=self.clock)
        self.scheduler = Scheduler(
            self.seen, self.queue, self.clock.now, Metrics("test"), self.clock.time, self.clock.time
        )
        selector = LabelSelector(match_labels={label: "gold"})
        self.seen.queues.apply("ADDED", QueueRecord("gold", "q", "1", selector=selector))
        self.jobs = [self._waiting(name) for name in ("one", "two")]

    def _waiting(self, name: str) -> BatchJob:
        job = make_batchjob(make_spec(queue="gold"), ASKED, name=name, uid=name)
        self.seen.jobs.apply("ADDED", job)
        return job

    def read(self, **labels: str) -> None:
        self.seen.namespace_labels["team-a"] = NamespaceLabels(labels, self.clock.now())

    async def to_do(self) -> list[Key]:
        return await taken_off(self.queue)

    async def cycle(self) -> None:
        self.scheduler.run()
        await self.to_do()


async def test_one_job_of_the_namespace_looks_again_every_minute() -> None:
    scene = Scene("tier")
    await scene.cycle()
    for minute in (1, 2):
        scene.clock.advance_to(60 * minute - 1)
        assert ("team-a", "one") not in await scene.to_do()
        scene.clock.advance_to(60 * minute)
        assert await scene.to_do() == [("team-a", "one")]
        scene.scheduler.passed(scene.jobs[0])
        assert Chore.SCHEDULE not in await scene.to_do()


@pytest.mark.parametrize("before", [{}, {"tier": "bronze"}], ids=["not known", "known"])
async def test_what_it_finds_changed_is_decided_upon(before: dict[str, str]) -> None:
    scene = Scene("tier")
    if before:
        scene.read(**before)
    await scene.cycle()
    scene.scheduler.passed(scene.jobs[0])
    assert await scene.to_do() == []
    scene.read(tier="gold")
    scene.scheduler.passed(scene.jobs[0])
    assert await scene.to_do() == [Chore.SCHEDULE]
    scene.scheduler.run()
    assert set(scene.seen.granted) == {"one", "two"}


async def test_a_name_never_changes() -> None:
    scene = Scene("kubernetes.io/metadata.name")
    await scene.cycle()
    scene.clock.advance_to(3600)
    assert [key for key in await scene.to_do() if not isinstance(key, Chore)] == []
