"""What an audit finds, and what it must not take for lost."""

from typing import Any

from batch_operator.cluster.client import Listing
from batch_operator.cluster.observations import Observations
from batch_operator.handlers.audit import expire_jobs, list_registry
from tests.builders import make_batchjob, make_pipeline, make_pod


class Lists:
    """An API server that answers lists only."""

    def __init__(self, version: str, uids: tuple[str, ...] = (), pipelines: tuple[Any, ...] = ()) -> None:
        self.version, self.uids, self.pipelines = version, uids, pipelines

    async def list_uids(self, path: str) -> Listing[str]:
        return Listing(self.uids, self.version)

    async def list_as(self, path: str, decode: Any) -> Listing[Any]:
        return Listing(self.pipelines if "/pipelines" in path else (), self.version)


def jobs(seen: Observations) -> set[str]:
    return {job.name for job in seen.jobs.values()}


async def test_a_job_that_was_deleted_while_nobody_watched_is_forgotten() -> None:
    seen = Observations()
    seen.jobs.apply("ADDED", make_batchjob(name="gone", uid="1", resourceVersion="10"))
    seen.jobs.apply("ADDED", make_batchjob(name="there", uid="2", resourceVersion="11"))
    await expire_jobs(Lists("50", ("2",)), seen)
    assert jobs(seen) == {"there"}


async def test_a_job_that_came_while_the_list_was_made_stays() -> None:
    seen = Observations()
    seen.jobs.apply("ADDED", make_batchjob(name="newer", uid="1", resourceVersion="60"))
    await expire_jobs(Lists("50", ()), seen)
    assert jobs(seen) == {"newer"}


async def test_the_registry_is_brought_up_to_date_but_never_back() -> None:
    seen = Observations()
    stale, kept = make_pipeline("stale", "team-a"), make_pipeline("kept", "team-a")
    for record in (stale, kept):
        seen.pipelines.apply("ADDED", record)
    await list_registry(Lists("50", pipelines=(kept, make_pipeline("new", "team-a"))), seen)
    assert {p.name for p in seen.pipelines.values()} == {"kept", "new"}


async def test_pods_of_a_job_that_was_deleted_while_the_operator_was_down_are_let_go() -> None:
    seen = Observations()
    seen.pods.apply("ADDED", make_pod(0, owner_uid="gone"))
    seen.pods.apply("DELETED", make_pod(0, owner_uid="gone"))
    assert len(seen.pods) == 1, "kept, in case its job still wants to know what it said"
    await expire_jobs(Lists("500", ()), seen)
    assert len(seen.pods) == 0
