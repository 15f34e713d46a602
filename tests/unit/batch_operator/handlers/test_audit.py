"""What an audit finds, and what it must not take for lost."""

from typing import Any

import pytest

from batch_operator.cluster.client import Identity, Listing, Object
from batch_operator.cluster.errors import NotFound
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.audit import find_jobs, find_pods, round_of_all
from batch_operator.handlers.keys import Key
from tests.builders import make_batchjob, make_pipeline, make_pod, make_raw_batchjob


class Lists:
    """An API server that answers reads only: `there` is who it knows, `objects` what it can give out by path."""

    def __init__(
        self,
        version: str,
        there: tuple[Any, ...] = (),
        pipelines: tuple[Any, ...] = (),
        objects: dict[str, Object] | None = None,
    ) -> None:
        self.version, self.there, self.pipelines, self.objects = version, there, pipelines, objects or {}
        self.asked: list[str] = []

    async def get(self, path: str) -> Object:
        self.asked.append(path)
        if path not in self.objects:
            raise NotFound(404, "NotFound", path)
        return self.objects[path]

    async def list_identities(self, path: str, params: Any = None) -> Listing[Identity]:
        kinds = {"batchjobs": "BatchJob", "pods": "PodRecord"}
        found = [o for o in self.there if type(o).__name__ == kinds[path.rsplit("/", 1)[1]]]
        return Listing(tuple(Identity(o.namespace, o.name, o.uid, o.resource_version) for o in found), self.version)

    async def list_as(self, path: str, decode: Any) -> Listing[Any]:
        return Listing(self.pipelines if "/pipelines" in path else (), self.version)


def jobs(seen: Observations) -> set[str]:
    return {job.name for job in seen.jobs.values()}


async def test_a_job_that_was_deleted_while_nobody_watched_is_forgotten() -> None:
    seen = Observations()
    there = make_batchjob(name="there", uid="2", resourceVersion="11")
    seen.jobs.apply("ADDED", make_batchjob(name="gone", uid="1", resourceVersion="10"))
    seen.jobs.apply("ADDED", there)
    server = Lists("50", (there,))
    await find_jobs(server, seen)
    assert jobs(seen) == {"there"}
    assert server.asked == [], "who is as we know him need not be read"


async def test_a_job_that_came_while_the_list_was_made_stays() -> None:
    seen = Observations()
    seen.jobs.apply("ADDED", make_batchjob(name="newer", uid="1", resourceVersion="60"))
    await find_jobs(Lists("50"), seen)
    assert jobs(seen) == {"newer"}


@pytest.mark.parametrize("known", [True, False], ids=["changed", "new"])
async def test_a_job_that_moved_on_unheard_is_read(known: bool) -> None:
    seen = Observations()
    if known:
        seen.jobs.apply("ADDED", make_batchjob(resourceVersion="10"))
    raw = make_raw_batchjob(resourceVersion="20")
    path = "/apis/batch-operator.dev/v1alpha1/namespaces/team-a/batchjobs/tep"
    await find_jobs(Lists("50", (make_batchjob(resourceVersion="20"),), objects={path: raw}), seen)
    assert [job.resource_version for job in seen.jobs.values()] == ["20"]


async def test_a_pod_that_is_gone_again_before_it_is_read_is_no_error() -> None:
    seen = Observations()
    server = Lists("50", (make_pod(0),))
    await find_pods(server, seen)
    assert len(server.asked) == 1
    assert len(seen.pods) == 0


async def test_a_pod_whose_deletion_nobody_told_of_counts_as_deleted() -> None:
    seen = Observations()
    seen.pods.apply("ADDED", make_pod(0, resource_version="10"))
    await find_pods(Lists("50"), seen)
    assert [pod.deleted for pod in seen.pods.values()] == [True]


async def test_the_registry_is_brought_up_to_date_but_never_back() -> None:
    seen = Observations()
    stale, kept = make_pipeline("stale", "team-a"), make_pipeline("kept", "team-a")
    for record in (stale, kept):
        seen.pipelines.apply("ADDED", record)
    await round_of_all(Lists("50", pipelines=(kept, make_pipeline("new", "team-a"))), seen, WorkQueue[Key]())
    assert {p.name for p in seen.pipelines.values()} == {"kept", "new"}


async def test_pods_of_a_job_that_was_deleted_while_the_operator_was_down_are_let_go() -> None:
    seen = Observations()
    seen.pods.apply("ADDED", make_pod(0, owner_uid="gone"))
    seen.pods.apply("DELETED", make_pod(0, owner_uid="gone"))
    assert len(seen.pods) == 1, "kept, in case its job still wants to know what it said"
    await find_jobs(Lists("500"), seen)
    assert len(seen.pods) == 0


async def test_a_round_looks_at_every_living_job() -> None:
    seen, queue = Observations(), WorkQueue[Key]()
    job = make_batchjob()
    seen.jobs.apply("ADDED", job)
    await round_of_all(Lists("500", (job,)), seen, queue)
    assert await queue.get() == ("team-a", "tep")
