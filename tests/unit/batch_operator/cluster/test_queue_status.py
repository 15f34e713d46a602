"""A Queue's status is written as a difference; what has moved on unheard is looked at again."""

from typing import cast

import pytest

from batch_operator.api.v1alpha1.batch_queue import QueueStatus, decode_queue
from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import Conflict, NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.queue_status import write_queue_status
from batch_operator.cluster.resource_paths import QUEUES
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import FakeClient

PATH = QUEUES.path(name="gpu")
WANTED = QueueStatus(pending=3)


class Cluster:
    """A server with the Queue gpu, and an operator that has seen it."""

    def __init__(self) -> None:
        self.server = FakeAPIServer()
        self.seen = Observations()
        self.seen.queues.apply(None, decode_queue(self.make("4")))

    def make(self, pods: str) -> dict[str, object]:
        return self.server.create(QUEUES.path(), {"metadata": {"name": "gpu"}, "spec": {"quota": {"pods": pods}}})

    async def write(self) -> None:
        known = self.seen.queues.get_by_name("", "gpu")
        assert known is not None
        await write_queue_status(cast(Client, FakeClient(self.server)), self.seen, known, WANTED)

    @property
    def quota(self) -> int | None:
        known = self.seen.queues.get_by_name("", "gpu")
        return known.quota["pods"] // 1000 if known else None


async def test_it_is_written_and_seen() -> None:
    cluster = Cluster()
    await cluster.write()
    assert cluster.server.get(PATH)["status"] == {"pending": 3}
    known = cluster.seen.queues.get_by_name("", "gpu")
    assert known is not None
    assert known.status == WANTED


async def test_an_edit_that_no_watch_told_of_is_seen_by_the_conflict() -> None:
    cluster = Cluster()
    cluster.server.patch(PATH, {"spec": {"quota": {"pods": "9"}}})
    with pytest.raises(Conflict):
        await cluster.write()
    assert cluster.quota == 9
    await cluster.write()


async def test_so_is_a_deletion() -> None:
    cluster = Cluster()
    cluster.server.delete(PATH)
    with pytest.raises(NotFound):
        await cluster.write()
    assert cluster.quota is None


async def test_so_is_another_queue_of_that_name() -> None:
    cluster = Cluster()
    cluster.server.delete(PATH)
    cluster.make("7")
    with pytest.raises(Conflict):
        await cluster.write()
    assert cluster.quota == 7
    await cluster.write()
