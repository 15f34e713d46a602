"""What the scheduler remembers between cycles: whom it told what, and what no status says yet."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batch_queue import LabelSelector, Preemption, Stop
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Chore, Key, QueueKey
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.reconcile import queue_entry
from batch_operator.reconcile import status as statuses
from batch_operator.scheduling import turns
from batch_operator.scheduling.decisions import Decisions
from tests.builders import make_batchjob, make_queue, make_queued_job, make_spec, pod_of, seconds
from tests.fakes.clock import SimulatedClock

METRICS = Metrics("test")
PREEMPTS: dict[str, Any] = {"preemption": Preemption.LOWER_PRIORITY}


class Scene:
    """A scheduler over the Queue research of four GPUs, on a clock of its own; nobody runs the passes it asks for."""

    def __init__(self, gpus: int = 4, **queue: Any) -> None:
        self.clock = SimulatedClock()
        self.clock.advance(60)
        self.seen = Observations()
        self.queue: WorkQueue[Key] = WorkQueue(timers=self.clock)
        self.scheduler = Scheduler(
            self.seen, self.queue, self.clock.now, METRICS, self.clock.time, displace_after=seconds(0)
        )
        self.seen.queues.apply("ADDED", make_queue(gpus, **queue))
        self._version = 100

    def heard(self, job: BatchJob) -> BatchJob:
        """A watch tells of the job, in a version of its own."""
        self._version += 1
        job = job.model_copy(update={"resource_version": str(self._version)})
        self.seen.jobs.apply("MODIFIED", job)
        return job

    def waits(self, name: str, gpus: int = 1, **changes: Any) -> BatchJob:
        return self.heard(make_queued_job(name, gpus, **changes))

    def holds(self, name: str, gpus: int = 1, **changes: Any) -> BatchJob:
        return self.heard(make_queued_job(name, gpus, "RUNNING", **changes))

    def new(self, name: str, gpus: int = 1) -> BatchJob:
        """A job without a status, whose first pass has asked."""
        job = self.heard(make_batchjob(make_spec(queue="research"), name=name, uid=name))
        self.asks(job, gpus)
        return job

    def asks(self, job: BatchJob, gpus: int = 1) -> None:
        self.scheduler.ask(job, queue_entry.waiting(make_queued_job(job.name, gpus)))

    def ends(self, name: str) -> None:
        self.heard(make_queued_job(name, 1, "RUNNING", status={"status": "COMPLETED"}))

    def cycle(self) -> Decisions:
        self.scheduler.run()
        return self.seen.decisions

    @property
    def granted(self) -> set[str]:
        return set(self.seen.granted)

    @property
    def displaced(self) -> set[str]:
        return set(self.seen.displaced)

    async def to_do(self) -> list[Key]:
        """Keys that are due, taken off the queue."""
        keys = []
        while len(self.queue):
            keys.append(await self.queue.get())
            self.queue.done(keys[-1])
        return keys

    async def jobs_to_do(self) -> list[str]:
        return [key[1] for key in await self.to_do() if isinstance(key, tuple)]


@pytest.fixture
async def scene() -> Scene:
    return Scene()


class TestGrants:
    async def test_one_stands_until_status_says_so(self, scene: Scene) -> None:
        scene.waits("one", 3)
        scene.cycle()
        assert scene.granted == {"one"}
        assert "one" in await scene.jobs_to_do()
        scene.waits("two", 2)
        scene.cycle()
        assert scene.granted == {"one"}, "its quota is not given twice"
        assert list(scene.seen.decisions.pending) == ["two"], "nor does it wait and hold at once"
        scene.holds("one", 3)
        scene.cycle()
        assert scene.granted == set()
        assert scene.seen.decisions.queues["research"].used["nvidia.com/gpu"] == 3000

    async def test_it_is_given_back_where_the_job_asks_for_something_else(self, scene: Scene) -> None:
        scene.waits("one", 3)
        scene.cycle()
        scene.waits("one", 2)
        scene.waits("two", 2)
        scene.cycle()
        assert scene.granted == {"one", "two"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"suspend": True},
            {"queue": "other"},
            {"status": {"status": "CANCELLED"}},
            {"deletionTimestamp": "2026-04-14T10:00:00Z"},
        ],
        ids=["suspended", "another queue", "ended", "being deleted"],
    )
    async def test_it_is_given_back_where_the_job_does_not_ask_any_more(
        self, scene: Scene, changes: dict[str, Any]
    ) -> None:
        scene.waits("one", 3)
        scene.waits("two", 3, creationTimestamp="2026-04-14T10:00:01Z")
        scene.cycle()
        assert scene.granted == {"one"}
        scene.waits("one", 3, **changes)
        scene.cycle()
        assert scene.granted == {"two"}

    async def test_a_write_of_something_else_does_not_end_it(self, scene: Scene) -> None:
        scene.waits("one", 3)
        scene.cycle()
        scene.waits("one", 3, status={"queue_position": 1, "queue_depth": 2})
        scene.waits("two", 3, creationTimestamp="2026-04-14T09:00:00Z")
        scene.cycle()
        assert scene.granted == {"one"}, "a pass that admits it may be under way"

    async def test_of_a_job_that_is_edited_before_its_first_admission(self, scene: Scene) -> None:
        scene.new("one", 3)
        scene.cycle()
        edited = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one", generation=2))
        scene.waits("two", 3)
        scene.cycle()
        assert scene.granted == {"one"}, "a pass that admits it as it is now may be under way"
        scene.scheduler.passed(edited)
        scene.cycle()
        assert scene.granted == {"two"}, "its pass has neither admitted it nor asked"

    async def test_of_a_job_that_is_deleted(self, scene: Scene) -> None:
        job = scene.waits("one", 3)
        scene.cycle()
        scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
        scene.waits("two", 3)
        scene.cycle()
        assert scene.granted == {"two"}


class TestAsking:
    async def test_a_new_job_is_told_at_once_that_it_waits(self, scene: Scene) -> None:
        scene.holds("holder", 4)
        scene.cycle()
        await scene.to_do()
        scene.new("new")
        assert Chore.SCHEDULE in await scene.to_do()
        scene.cycle()
        assert await scene.jobs_to_do() == ["new"]
        assert turns.of(scene.seen.decisions, "new", "research", tell=False) is not None
        scene.cycle()
        assert await scene.jobs_to_do() == [], "once"

    async def test_a_job_that_asks_for_something_else_is_told_again(self, scene: Scene) -> None:
        scene.holds("holder", 4)
        job = scene.new("new")
        scene.cycle()
        await scene.to_do()
        scene.asks(job, 2)
        scene.cycle()
        assert await scene.jobs_to_do() == ["new"]

    async def test_what_a_job_asked_that_was_edited_meanwhile_is_not_heard(self, scene: Scene) -> None:
        before = make_batchjob(make_spec(queue="research"), name="one", uid="one", resourceVersion="1")
        scene.heard(before)
        scene.asks(before)
        assert scene.cycle().pending == {}
        assert scene.granted == set()

    async def test_nor_of_one_that_was_deleted_meanwhile(self, scene: Scene) -> None:
        job = scene.heard(make_batchjob(make_spec(queue="research"), name="one", uid="one"))
        scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
        scene.asks(job)
        scene.cycle()
        assert scene.granted == set()
        assert not scene.scheduler._asks


class TestVictims:
    def full(self) -> Scene:
        scene = Scene(**PREEMPTS)
        scene.holds("low", 4)
        scene.waits("high", 4, admission={"priority": 10})
        scene.cycle()
        return scene

    async def test_one_is_displaced_once_until_status_says_so(self) -> None:
        scene = self.full()
        assert scene.displaced == {"low"}
        assert scene.seen.displaced["low"].preemptor == "high"
        assert "low" in await scene.jobs_to_do()
        scene.holds("low", 4, status={"progress": "1/4"})
        assert scene.cycle().preempt == (), "it is on its way, whatever else is written"
        assert scene.displaced == {"low"}
        stopping = {"reason": "Preempted", "since": "2026-04-14T10:01:00Z", "preemptor": "high"}
        job = scene.holds("low", 4, ledger={"stopping": stopping})
        for index in range(4):
            scene.seen.pods.apply("ADDED", pod_of(job, index))
        assert scene.cycle().preempt == ()
        assert scene.displaced == set()
        assert scene.granted == set(), "its pods are still there"

    async def test_it_stays_where_the_job_that_wanted_its_quota_wants_it_no_more(self) -> None:
        scene = self.full()
        scene.waits("high", 4, suspend=True, admission={"priority": 10}, status={"status": "CANCELLED"})
        assert scene.cycle().preempt == ()
        assert scene.displaced == set()

    async def test_a_drained_queue_that_is_opened_again(self) -> None:
        scene = Scene(stop=Stop.HOLD_AND_DRAIN)
        scene.holds("low", 4)
        scene.cycle()
        assert scene.displaced == {"low"}
        scene.seen.queues.apply("MODIFIED", make_queue(4, generation=2, resource_version="2"))
        scene.cycle()
        assert scene.displaced == set()

    async def test_a_job_that_is_only_granted_is_left_until_it_holds(self) -> None:
        scene = Scene(**PREEMPTS)
        scene.waits("low", 4)
        scene.cycle()
        scene.waits("high", 4, admission={"priority": 10})
        scene.cycle()
        assert (scene.granted, scene.displaced) == ({"low"}, set())
        scene.holds("low", 4)
        scene.cycle()
        assert (scene.granted, scene.displaced) == (set(), {"low"})


class TestPodsThatStay:
    async def test_quota_of_an_ended_job_is_free_when_its_pods_are_gone(self, scene: Scene) -> None:
        pod = pod_of(scene.holds("one", 1))
        scene.seen.pods.apply("ADDED", pod)
        scene.ends("one")
        scene.waits("two", 4)
        scene.cycle()
        assert scene.granted == set()
        scene.seen.pods.apply("MODIFIED", replace(pod, phase="Succeeded", resource_version="300"))
        assert Chore.SCHEDULE in await scene.to_do()
        scene.cycle()
        assert scene.granted == {"two"}

    async def test_of_a_deleted_job_likewise(self, scene: Scene) -> None:
        job = scene.holds("one", 1)
        pod = pod_of(job)
        scene.seen.pods.apply("ADDED", pod)
        scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
        scene.waits("two", 4)
        scene.cycle()
        assert scene.granted == set()
        scene.seen.pods.apply("DELETED", replace(pod, resource_version="300"))
        scene.cycle()
        assert scene.granted == {"two"}

    async def test_a_deleted_jobs_pod_that_is_asked_to_go_is_counted_upon_from_then(self) -> None:
        scene = Scene(**PREEMPTS)
        job = scene.holds("gone", 4)
        pods = [pod_of(job, index) for index in range(4)]
        for pod in pods:
            scene.seen.pods.apply("ADDED", pod)
        scene.clock.advance(3600)
        scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
        asked = scene.clock.now()
        for pod in pods:
            late = replace(pod, resource_version="300", deleting=True, deletion_asked_at=asked, deletion_due=asked)
            scene.seen.pods.apply("MODIFIED", late)
        scene.waits("high", 4)
        assert scene.cycle().claims == ("high",), "their quota comes free by itself"

    async def test_pods_that_are_given_up_by_their_owner(self, scene: Scene) -> None:
        """kubectl delete --cascade=orphan: the job's end may be heard before the pods' change."""
        job = scene.holds("one", 1)
        pod = pod_of(job)
        scene.seen.pods.apply("ADDED", pod)
        scene.seen.jobs.apply("DELETED", job.model_copy(update={"resource_version": "900"}))
        scene.seen.pods.apply("MODIFIED", replace(pod, owner_uid="", resource_version="300"))
        scene.waits("two", 4)
        scene.cycle()
        assert scene.granted == {"two"}, "nobody would ever give its quota back"

    async def test_of_a_node_that_is_gone(self, scene: Scene) -> None:
        scene.seen.pods.apply("ADDED", pod_of(scene.holds("one", 1)))
        scene.ends("one")
        scene.waits("two", 4)
        scene.cycle()
        scene.seen.pods_given_up.add("one-0")
        scene.scheduler.passed(make_queued_job("one"))
        scene.cycle()
        assert scene.granted == {"two"}


class TestAnotherQueue:
    async def test_a_job_that_goes_to_a_queue_that_is_not_there(self, scene: Scene) -> None:
        scene.holds("holder", 4)
        scene.waits("one")
        scene.cycle()
        scene.waits("one", queue="nowhere")
        assert turns.of(scene.seen.decisions, "one", "nowhere", tell=True) is None, "it is not decided yet"
        scene.scheduler.tell()
        scene.cycle()
        turn = turns.of(scene.seen.decisions, "one", "nowhere", tell=True)
        assert turn is not None
        assert (turn.reason, turn.position) == ("QueueNotFound", None)


def _told(scene: Scene, job: BatchJob) -> BatchJob:
    """The pass over a job that may tell: its status says what the queue says."""
    turn = turns.of(scene.seen.decisions, job.uid, "research", tell=True)
    assert turn is not None
    job = scene.heard(job.model_copy(update={"status": statuses.queued(job.status, turn, scene.clock.now())}))
    scene.scheduler.passed(job)
    return job


class TestTelling:
    def line(self, count: int) -> Scene:
        scene = Scene()
        scene.holds("holder", 4)
        job = make_queued_job("job", reason="RetryRequested")
        for number in range(count):
            name = f"job-{number:05}"
            scene.heard(job.model_copy(update={"name": name, "uid": name}))
        scene.cycle()
        return scene

    async def course(self, scene: Scene, until: float, told: Callable[[str], None] = lambda name: None) -> list[float]:
        """Runs the telling and the passes it asks for -> when each was."""
        moments: list[float] = []
        while scene.clock.time() < until:
            for key in await scene.to_do():
                if key is Chore.TELL and (wait := scene.scheduler.tell()) is not None:
                    scene.queue.add_after(key, wait)
                if isinstance(key, tuple) and key[1] in scene.seen.telling:
                    moments.append(scene.clock.time())
                    told(key[1])
                    job = scene.seen.jobs.get(key[1])
                    assert job is not None
                    _told(scene, job)
            scene.clock.advance_to(min(until, scene.clock.next_alarm() or until))
        return moments

    async def test_ten_thousand_are_told_a_few_a_second(self) -> None:
        scene = self.line(10_000)
        names: list[str] = []
        moments = await self.course(scene, 90, names.append)
        assert max(sum(start <= m < start + 1 for m in moments) for start in moments) <= 20
        assert len(moments) >= 180, "but they are told"
        assert {f"job-{number:05}" for number in range(10)} <= set(names), "the first ones early"
        assert len(set(names)) == len(names), "each once, for nothing changes"

    async def test_those_behind_are_told_though_the_front_moves_all_the_time(self) -> None:
        scene = self.line(200)
        names: list[str] = []
        for second in range(61, 121):
            await self.course(scene, second, names.append)
            scene.seen.jobs.apply("DELETED", make_queued_job(f"job-{second - 61:05}", resourceVersion="99999"))
            scene.cycle()
        behind = [name for name in names if name >= "job-00080"]
        assert 100 <= len(behind) <= 300, "about every second one that is told"

    async def test_an_unread_namespace_is_no_reason_to_tell(self) -> None:
        scene = Scene(selector=LabelSelector(match_labels={"tier": "gold"}))
        scene.waits("one", reason="WaitingForQuota")
        scene.cycle()
        scene.scheduler.tell()
        assert scene.seen.telling == set(), "after a start its namespace's labels are not known yet"

    async def test_one_whose_pass_is_late_is_told_once(self) -> None:
        scene = self.line(1)
        for _ in range(20):
            assert scene.scheduler.tell() is None, "as many tokens are left"
            scene.cycle()

    async def test_nothing_is_kept_of_a_deleted_job(self) -> None:
        scene = self.line(1)
        scene.scheduler.tell()
        assert scene.seen.telling == {"job-00000"}
        scene.seen.jobs.apply("DELETED", make_queued_job("job-00000", resourceVersion="99999"))
        assert scene.seen.telling == set()
        scene.cycle()
        assert list(scene.scheduler._entries) == ["holder"]


class TestQueueStatus:
    async def test_it_says_who_runs_and_who_is_next(self, scene: Scene) -> None:
        scene.holds("holder", 4)
        scene.waits("one", 2)
        scene.waits("two", 2, creationTimestamp="2026-04-14T10:00:05Z")
        scene.cycle()
        assert QueueKey("research") in await scene.to_do()
        found = scene.scheduler.queue_status("research")
        assert found is not None
        _, status = found
        assert (status.pending, status.admitted, status.usage) == (2, 1, "4/4 nvidia.com/gpu")
        assert str(status.next).startswith("team-a/one: 2 nvidia.com/gpu missing (in use: team-a 4)")

    async def test_nothing_to_say_where_it_says_so(self, scene: Scene) -> None:
        scene.cycle()
        found = scene.scheduler.queue_status("research")
        assert found is not None
        record, status = found
        scene.seen.queues.apply("MODIFIED", replace(record, status=status, resource_version="2"))
        assert scene.scheduler.queue_status("research") is None
        assert scene.scheduler.queue_status("nowhere") is None

    async def test_at_most_once_a_second(self, scene: Scene) -> None:
        assert scene.scheduler.wait_to_write("research") == 0.0
        assert scene.scheduler.wait_to_write("research") == pytest.approx(1.0)
        scene.clock.advance(0.4)
        assert scene.scheduler.wait_to_write("research") == pytest.approx(0.6)
        scene.clock.advance(0.6)
        assert scene.scheduler.wait_to_write("research") == 0.0

    async def test_it_is_written_though_there_is_always_more_to_tell(self) -> None:
        scene = TestTelling().line(1000)
        while scene.scheduler.tell() != pytest.approx(1 / 7):  # no token is left
            continue
        assert scene.scheduler.wait_to_write("research") == 0.0


class TestRestart:
    async def test_a_new_process_decides_the_same(self) -> None:
        before = Scene(**PREEMPTS)
        before.holds("low", 3)
        before.holds("other", 1, admission={"priority": 50})
        before.waits("high", 2, admission={"priority": 10})
        before.waits("small", 1, creationTimestamp="2026-04-14T10:00:05Z")
        before.cycle()
        again = Scene(**PREEMPTS)
        for job in reversed(before.seen.jobs.values()):
            again.seen.jobs.apply(None, job)
        again.cycle()
        assert again.seen.decisions == before.seen.decisions
        assert (again.granted, again.displaced) == (before.granted, before.displaced) == (set(), {"low"})

    async def test_pods_may_be_heard_of_before_their_jobs(self, scene: Scene) -> None:
        job = make_queued_job("one", 1, "RUNNING")
        scene.seen.pods.apply(None, pod_of(job))
        scene.heard(job)
        scene.waits("two", 4)
        scene.cycle()
        assert scene.seen.decisions.queues["research"].used["nvidia.com/gpu"] == 1000, "its pod counts once"
        assert scene.granted == set()
