"""One pass over a new job: what it asks its queue, and what it writes once it is answered."""

from collections import Counter
from typing import Any, cast

import pytest

from batch_operator.api.v1alpha1.batch_queue import Stop
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.client import Client
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, NAMESPACES, PODS
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.config import Settings
from batch_operator.handlers.keys import Chore, Key
from batch_operator.handlers.reconciler import Reconciler
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.policies import pipeline_resolution
from tests.builders import make_pipeline, make_queue, make_raw_batchjob, make_spec
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import FakeClient
from tests.unit.batch_operator.handlers.queue_scene import taken_off

SETTINGS = Settings(progress_url="https://progress.test:8443")
METRICS = Metrics("test")


class World:
    """An API server, and an operator that knows a pipeline and the Queue research of four GPUs."""

    def __init__(self) -> None:
        self.server = FakeAPIServer()
        self.server.create(NAMESPACES.path(), {"metadata": {"name": "team-a"}})
        self.seen = Observations()
        self.seen.cluster_pipelines.apply("ADDED", make_pipeline())
        self.seen.queues.apply("ADDED", make_queue(4))
        clock = self.server.clock
        self.queue: WorkQueue[Key] = WorkQueue(timers=clock)
        self.client = FakeClient(self.server)
        scheduler = Scheduler(self.seen, self.queue, clock.moment, METRICS, clock.time, clock.time)
        self.reconciler = Reconciler(
            cast(Client, self.client), self.seen, SETTINGS, SETTINGS.rules("PEM"), METRICS, scheduler, clock.moment
        )

    def new(self, name: str) -> tuple[str, str]:
        """-> the key of a job that the operator has just heard of."""
        made = self.server.create(BATCH_JOBS.path("team-a"), make_raw_batchjob(make_spec(queue="research"), name=name))
        self.seen.jobs.apply("ADDED", decode_job(made))
        return ("team-a", name)

    def of(self, name: str) -> tuple[str | None, int, int]:
        """-> the job's status, its ConfigMaps and its pods."""
        status = self.server.get(BATCH_JOBS.path("team-a", name)).get("status", {}).get("status")
        owned = Counter(
            path
            for path in (CONFIG_MAPS, PODS)
            for item in self.server.list_page(path.path("team-a"))["items"]
            if item["metadata"]["ownerReferences"][0]["name"] == name
        )
        return status, owned[CONFIG_MAPS], owned[PODS]

    async def to_do(self) -> list[Key]:
        return await taken_off(self.queue)


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_new_job_whose_turn_it_is_has_all_within_one_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[Any] = []
    resolve = pipeline_resolution.resolve

    def counted(*given: Any, **more: Any) -> Any:
        resolved.append(given)
        return resolve(*given, **more)

    monkeypatch.setattr(pipeline_resolution, "resolve", counted)
    key = world.new("one")
    await world.to_do()
    await world.reconciler(key)
    assert world.of("one") == ("ADMITTED", 1, 2)
    assert len(resolved) == 1


async def test_one_whose_turn_it_is_not_is_told_so_within_it(world: World) -> None:
    world.seen.queues.apply("MODIFIED", make_queue(4, stop=Stop.HOLD, resource_version="900"))
    key = world.new("one")
    await world.to_do()
    await world.reconciler(key)
    assert world.of("one") == ("PENDING", 1, 0)


async def test_while_others_wait_it_writes_nothing_and_its_turn_comes_with_theirs(world: World) -> None:
    keys = [world.new("one"), world.new("two")]
    await world.to_do()
    world.queue.add(keys[1])
    await world.reconciler(keys[0])
    assert (world.of("one"), world.client.sent) == ((None, 0, 0), [])
    assert set(await world.to_do()) == {Chore.SCHEDULE, keys[1]}
    await world.reconciler(Chore.SCHEDULE)
    assert keys[0] in await world.to_do()
    await world.reconciler(keys[0])
    assert world.of("one") == ("ADMITTED", 1, 2)
