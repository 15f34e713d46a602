"""Which jobs an event brings to the queue, and what is let go when a job ends."""

import kopf
import pytest

from batch_operator.api.report import Report
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.handlers.watches import PROGRESS_SECONDS, job_heard, register
from batch_operator.snapshot import NodeRecord
from tests.builders import JOB_UID, admitted, make_batchjob, make_pipeline, make_pod, make_raw_batchjob
from tests.fakes.clock import SimulatedClock
from tests.unit.batch_operator.reconcile.course import Course


@pytest.fixture
async def world() -> tuple[Observations, WorkQueue[Key]]:
    seen: Observations = Observations()
    queue: WorkQueue[Key] = WorkQueue()
    register(kopf.OperatorRegistry(), seen, queue)
    return seen, queue


async def queued(queue: WorkQueue[Key]) -> list[Key]:
    keys = []
    while len(queue):
        key = await queue.get()
        queue.done(key)
        keys.append(key)
    return keys


async def test_a_job_is_enqueued_once_for_many_events(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    for version in ("1", "2", "3"):
        seen.jobs.apply("MODIFIED", make_batchjob(resourceVersion=version))
    assert await queued(queue) == [("team-a", "tep")]


async def test_the_echo_of_our_own_write_is_not_read_again(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    answer = make_batchjob(resourceVersion="7")
    seen.jobs.observe(answer)
    await queued(queue)
    nothing_to_read = {"metadata": {"uid": JOB_UID, "resourceVersion": "7"}}
    job_heard(seen, "MODIFIED", nothing_to_read)
    assert seen.jobs.get(JOB_UID) is answer
    assert await queued(queue) == []
    assert seen.jobs.resource_version == "7", "and yet the watch has come so far"


async def test_any_other_version_is_read(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    job_heard(seen, "ADDED", make_raw_batchjob(resourceVersion="7"))
    job_heard(seen, "MODIFIED", make_raw_batchjob(resourceVersion="8", status={"status": "RUNNING"}))
    known = seen.jobs.get(JOB_UID)
    assert known is not None
    assert (known.resource_version, known.status.status) == ("8", "RUNNING")
    job_heard(seen, "DELETED", make_raw_batchjob(resourceVersion="8"))
    assert seen.jobs.get(JOB_UID) is None
    assert await queued(queue) == [("team-a", "tep")]


async def test_a_pod_enqueues_its_job(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    seen.jobs.apply("ADDED", make_batchjob())
    await queued(queue)
    seen.pods.apply("ADDED", make_pod(0))
    assert await queued(queue) == [("team-a", "tep")]


async def test_a_pod_whose_job_is_not_known_waits_for_it(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    seen.pods.apply(None, make_pod(0))
    assert await queued(queue) == []
    seen.jobs.apply(None, make_batchjob())
    assert await queued(queue) == [("team-a", "tep")]


async def test_pods_that_start_under_a_running_job_bring_one_pass_together() -> None:
    clock = SimulatedClock()
    seen: Observations = Observations()
    queue: WorkQueue[Key] = WorkQueue(timers=clock)
    register(kopf.OperatorRegistry(), seen, queue)
    seen.jobs.apply("ADDED", Course().at(0).runs(0).at(3).job)
    for index in (0, 1):
        seen.pods.apply("ADDED", make_pod(index, "Pending", started_at=None, resource_version="1"))
    await queued(queue)
    for index in (0, 1):
        seen.pods.apply("MODIFIED", make_pod(index, "Running", resource_version="2"))
    assert await queued(queue) == []
    clock.advance(PROGRESS_SECONDS)
    assert await queued(queue) == [("team-a", "tep")]


async def test_a_pod_without_a_job_enqueues_nothing(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    seen.pods.apply("ADDED", make_pod(0, owner_uid=""))
    assert await queued(queue) == []


def node(version: int, *, ready: bool = True, out_of_service: bool = False, name: str = "node-1") -> NodeRecord:
    return NodeRecord(name, f"uid-{name}", str(version), ready, out_of_service)


@pytest.mark.parametrize(
    ("change", "record", "enqueued"),
    [
        ("MODIFIED", node(2), []),
        ("MODIFIED", node(2, ready=False), [("team-a", "tep")]),
        ("MODIFIED", node(2, out_of_service=True), [("team-a", "tep")]),
        ("DELETED", node(2), [("team-a", "tep")]),
        ("ADDED", node(2, name="node-2"), []),
        ("DELETED", node(2, name="node-3"), []),
    ],
    ids=["heartbeat", "not-ready", "out-of-service", "deleted", "another-one", "one-without-pods"],
)
async def test_a_node_that_comes_or_goes_enqueues_the_jobs_of_its_living_pods(
    world: tuple[Observations, WorkQueue[Key]], change: str, record: NodeRecord, enqueued: list[Key]
) -> None:
    seen, queue = world
    for name in ("node-1", "node-3"):
        seen.nodes.apply("ADDED", node(1, name=name))
    seen.pods.apply("ADDED", make_pod(0, node="node-1"))
    seen.pods.apply("ADDED", make_pod(1, "Succeeded", node="node-3"))
    await queued(queue)
    seen.nodes.apply(change, record)
    assert await queued(queue) == enqueued


async def test_a_pipeline_enqueues_the_jobs_that_wait_for_its_key(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, queue = world
    running, _ = admitted()
    seen.jobs.apply("ADDED", make_batchjob(name="waiting", uid="1"))
    seen.jobs.apply(
        "ADDED", make_batchjob({**running.spec.model_dump(), "pipeline_key": "other"}, name="other", uid="2")
    )
    seen.jobs.apply("ADDED", running)
    await queued(queue)
    seen.cluster_pipelines.apply("ADDED", make_pipeline())
    assert await queued(queue) == [("team-a", "waiting")]


async def test_what_a_deleted_pod_said_stays_until_its_job_has_ended(
    world: tuple[Observations, WorkQueue[Key]],
) -> None:
    seen, _ = world
    job, _ = admitted()
    pod = make_pod(0)
    seen.jobs.apply("ADDED", job)
    seen.pods.apply("ADDED", pod)
    seen.reports[pod.uid] = Report(completed=frozenset({0}))
    seen.pods.apply("DELETED", pod)
    assert [p.deleted for p in seen.pods.by_owner(JOB_UID)] == [True]
    assert pod.uid in seen.reports

    ended = make_batchjob(status={"status": "FAILED"}, resourceVersion="999")
    seen.jobs.apply("MODIFIED", ended)
    assert seen.pods.by_owner(JOB_UID) == ()
    assert seen.reports == {}


async def test_a_deleted_job_leaves_nothing_behind(world: tuple[Observations, WorkQueue[Key]]) -> None:
    seen, _ = world
    job, file = admitted()
    seen.jobs.apply("ADDED", job)
    seen.keep_job_file(job.uid, file)
    seen.pods.apply("ADDED", make_pod(0))
    seen.jobs.apply("DELETED", job)
    seen.pods.apply("DELETED", make_pod(0))
    assert (len(seen.job_files), seen.pods.by_owner(job.uid)) == (0, ())
