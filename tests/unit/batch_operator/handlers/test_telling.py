"""What waiting jobs and Queues are told, how often, and in which order."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from batch_operator.api.v1alpha1.batch_queue import LabelSelector
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.handlers.keys import Chore, QueueKey
from batch_operator.handlers.telling import MOVES_PER_SECOND, READ_AT_ONCE, UNDER_WAY_AT_MOST
from batch_operator.reconcile import status as statuses
from batch_operator.scheduling import turns
from tests.builders import make_queued_job
from tests.unit.batch_operator.handlers.queue_scene import Scene


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def _told(scene: Scene, job: BatchJob) -> BatchJob:
    """The pass over a job that may tell: its status says what the queue says."""
    turn = turns.of(scene.seen.decisions, job.uid, "research", tell=True)
    assert turn is not None
    job = scene.heard(job.model_copy(update={"status": statuses.queued(job.status, turn, scene.clock.now())}))
    scene.scheduler.passed(job)
    scene.scheduler.telling.tried(job.uid)
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
                if key is Chore.TELL and (wait := scene.scheduler.telling.tell()) is not None:
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

    async def test_passes_that_wait_behind_others_do_not_pile_up(self) -> None:
        scene = self.line(100)
        for _ in range(50):
            scene.scheduler.telling.tell()
            scene.clock.advance(0.1)
        assert len(scene.seen.telling) == UNDER_WAY_AT_MOST
        failed = next(iter(scene.seen.telling))
        scene.scheduler.telling.tried(failed)
        scene.scheduler.telling.tell()
        assert len(scene.seen.telling) == UNDER_WAY_AT_MOST + 1, "one whose pass fails again and again holds up nobody"
        assert failed in scene.seen.telling, "and tells once it succeeds"

    async def test_an_unread_namespace_is_no_reason_to_tell(self) -> None:
        scene = Scene(selector=LabelSelector(match_labels={"tier": "gold"}))
        scene.waits("one", reason="WaitingForQuota")
        scene.cycle()
        scene.scheduler.telling.tell()
        assert scene.seen.telling == set(), "after a start its namespace's labels are not known yet"

    async def test_one_whose_pass_is_late_is_told_once(self) -> None:
        scene = self.line(1)
        for _ in range(20):
            assert scene.scheduler.telling.tell() is None, "as many tokens are left"
            scene.cycle()

    async def test_nothing_is_kept_of_a_deleted_job(self) -> None:
        scene = self.line(1)
        scene.scheduler.telling.tell()
        assert scene.seen.telling == {"job-00000"}
        scene.seen.jobs.apply("DELETED", make_queued_job("job-00000", resourceVersion="99999"))
        assert scene.seen.telling == set()
        scene.cycle()
        assert list(scene.scheduler._entries) == ["holder"]

    async def test_a_job_that_waits_again_is_told_again(self) -> None:
        scene = self.line(1)
        for until in (61, 62):
            await self.course(scene, until)
        job = scene.seen.jobs.get("job-00000")
        assert job is not None
        scene.holds("job-00000")
        scene.cycle()
        await self.course(scene, 63)
        assert list(scene.scheduler.telling._round) == [], "it does not wait"
        scene.heard(job.model_copy(update={"status": job.status.model_copy(update={"queue_position": 7})}))
        scene.cycle()
        names: list[str] = []
        for until in (64, 65):
            await self.course(scene, until, names.append)
        assert names == ["job-00000"]
        assert list(scene.scheduler.telling._round) == names

    async def test_those_not_reached_before_the_next_cycle_come_first(self) -> None:
        scene = self.line(3 * READ_AT_ONCE)
        for uid in scene.seen.decisions.pending:
            _told(scene, scene.seen.jobs.get(uid) or make_queued_job(uid))
        scene.cycle()
        first = scene.scheduler.telling._round[0]
        scene.scheduler.telling.tell()
        second = scene.scheduler.telling._round[0]
        scene.cycle()
        assert scene.scheduler.telling._round[0] == second != first


class TestQueueStatus:
    async def test_it_says_who_runs_and_who_is_next(self, scene: Scene) -> None:
        scene.holds("holder", 4)
        scene.waits("one", 2)
        scene.waits("two", 2, creationTimestamp="2026-04-14T10:00:05Z")
        scene.cycle()
        assert QueueKey("research") in await scene.to_do()
        found = scene.scheduler.telling.queue_status("research")
        assert found is not None
        _, status = found
        assert (status.pending, status.admitted, status.usage) == (2, 1, "4/4 nvidia.com/gpu")
        assert str(status.next).startswith("team-a/one: 2 nvidia.com/gpu missing (in use: team-a 4)")

    async def test_nothing_to_say_where_it_says_so(self, scene: Scene) -> None:
        scene.cycle()
        found = scene.scheduler.telling.queue_status("research")
        assert found is not None
        record, status = found
        scene.seen.queues.apply("MODIFIED", replace(record, status=status, resource_version="2"))
        assert scene.scheduler.telling.queue_status("research") is None
        assert scene.scheduler.telling.queue_status("nowhere") is None

    async def test_at_most_once_a_second(self, scene: Scene) -> None:
        assert scene.scheduler.telling.wait_to_write("research") == 0.0
        assert scene.scheduler.telling.wait_to_write("research") == pytest.approx(1.0)
        scene.clock.advance(0.4)
        assert scene.scheduler.telling.wait_to_write("research") == pytest.approx(0.6)
        scene.clock.advance(0.6)
        assert scene.scheduler.telling.wait_to_write("research") == 0.0

    async def test_it_is_written_though_there_is_always_more_to_tell(self) -> None:
        scene = TestTelling().line(1000)
        while scene.scheduler.telling.tell() != pytest.approx(1 / MOVES_PER_SECOND):  # no token is left
            continue
        assert scene.scheduler.telling.wait_to_write("research") == 0.0
