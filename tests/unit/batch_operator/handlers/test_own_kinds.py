"""Our own kinds as they are listed: what a list lacks is gone, and what has work left comes first."""

from typing import Any

import kopf
import pytest

from batch_operator.cluster.client import Listing
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, PIPELINES, QUEUES, Resource
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.handlers.own_kinds import OWN_KINDS, keep, list_again
from batch_operator.handlers.watches import register
from tests.builders import make_batchjob, make_pod, make_raw_batchjob
from tests.unit.batch_operator.reconcile.course import Course

META = {"namespace": "team-a", "uid": "1", "resourceVersion": "9", "generation": 1}
RAW: dict[Resource, dict[str, Any]] = {
    PIPELINES: {"metadata": {**META, "name": "own"}, "spec": {"key": "classify"}},
    CLUSTER_PIPELINES: {"metadata": {**META, "name": "all"}, "spec": {"key": "classify"}},
    QUEUES: {"metadata": {**META, "name": "default"}, "spec": {}},
    BATCH_JOBS: make_raw_batchjob(name="job"),
}


class Server:
    """Lists: what is there of each kind."""

    def __init__(self, there: dict[Resource, list[dict[str, Any]]], version: str = "500") -> None:
        self.there = {kind.path(): objects for kind, objects in there.items()}
        self.version = version

    async def list_as(self, path: str, decode: Any) -> Listing[Any]:
        return Listing(tuple(decode(raw) for raw in self.there[path]), self.version)


@pytest.mark.parametrize("kind", OWN_KINDS, ids=lambda kind: kind.plural)
async def test_a_list_is_kept_and_what_a_later_one_lacks_is_gone(kind: Resource) -> None:
    seen = Observations()
    stores = (seen.pipelines, seen.cluster_pipelines, seen.queues, seen.jobs)
    assert await list_again(Server({kind: [RAW[kind]]}), seen, kind) == "500"
    assert [len(store) for store in stores] == [int(kind == own) for own in OWN_KINDS]
    await list_again(Server({kind: []}, "501"), seen, kind)
    assert [len(store) for store in stores] == [0, 0, 0, 0]


async def test_jobs_with_work_left_come_first_to_the_queue() -> None:
    seen, queue = Observations(), WorkQueue[Key]()
    register(kopf.OperatorRegistry(), seen, queue)
    runs = Course().at(0).runs(0, 1).at(3).job
    jobs = [
        runs.model_copy(update={"uid": "1", "name": "at-rest"}),
        runs.model_copy(update={"uid": "2", "name": "lost-a-pod"}),
        make_batchjob(name="new", uid="3"),
    ]
    for index, owner in ((0, "1"), (1, "1"), (0, "2")):
        seen.pods.apply(None, make_pod(index, owner_uid=owner, uid=f"{owner}-{index}"))
    keep(seen, BATCH_JOBS, Listing(tuple(jobs), "500"))
    assert [await queue.get() for _ in jobs] == [("team-a", name) for name in ("lost-a-pod", "new", "at-rest")]
