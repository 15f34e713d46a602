"""What the scheduler remembers between cycles: whom it told what, and what no status says yet."""

import random
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batch_queue import Stop
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.handlers.keys import Chore
from batch_operator.handlers.scheduler import NOTE_SECONDS
from batch_operator.reconcile import queue_entry
from batch_operator.scheduling import turns
from batch_operator.scheduling.observed import Holder, WaitingJob
from batch_operator.scheduling.waiting import by_kind
from tests.builders import make_batchjob, make_queue, make_queued_job, make_spec, pod_of
from tests.unit.batch_operator.handlers.queue_scene import PREEMPTS, Scene


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def count_entries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """-> the jobs whose entries are made from now on."""
    made: list[str] = []
    entry = queue_entry.entry

    def counted(job: BatchJob, *given: Any) -> Any:
        made.append(job.name)
        return entry(job, *given)

    monkeypatch.setattr(queue_entry, "entry", counted)
    return made


async def test_an_entry_is_made_anew_only_where_what_it_is_made_of_has_changed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_entries(monkeypatch)
    job = scene.holds("one", 2)
    pod = pod_of(job, node="node-1")
    scene.seen.pods.apply("ADDED", pod)
    made.clear()
    scene.scheduler.passed(job)
    assert made == ["one"]
    scene.scheduler.passed(job)
    assert made.pop() == "one", "once for the pod"
    assert made == []
    scene.seen.pods_given_up.add(pod.uid)
    scene.scheduler.passed(job)
    assert made == ["one"]
    scene.seen.pods.apply("DELETED", replace(pod, resource_version="900"))
    scene.scheduler.note()
    scene.holds("one", 2)
    assert made == ["one"] * 3


async def test_many_words_of_a_job_s_pods_are_one_look_at_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scene.holds("one", 2)
    scene.cycle()
    await scene.to_do()
    looks = count_entries(monkeypatch)
    for index in range(50):
        scene.seen.pods.apply("ADDED", pod_of(job, name=f"one-{index}", uid=f"one-{index}", component="other"))
    assert looks == []
    assert await scene.to_do() == []
    scene.clock.advance(NOTE_SECONDS)
    assert await scene.to_do() == [Chore.NOTE]
    scene.scheduler.note()
    assert looks == ["one"]
    assert await scene.to_do() == [Chore.SCHEDULE], "it holds more than it was to"


async def test_a_cycle_sees_pods_that_nobody_has_looked_at_yet(scene: Scene) -> None:
    job = scene.holds("one", 2)
    scene.seen.pods.apply("ADDED", pod_of(job, component="other"))
    scene.waits("two", 2)
    scene.cycle()
    assert scene.granted == set(), "a pod that status does not know of holds quota too"


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
        scene.scheduler.telling.tell()
        scene.cycle()
        turn = turns.of(scene.seen.decisions, "one", "nowhere", tell=True)
        assert turn is not None
        assert (turn.reason, turn.position) == ("QueueNotFound", None)


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


class TestLedgersThatSomebodyWrote:
    async def test_one_that_cannot_be_read_leaves_the_others_alone(self, scene: Scene) -> None:
        scene.heard(
            make_queued_job(
                "broken", 1, "RUNNING", ledger={"components": {"worker": {"parallelism": 1, "attempts": "§"}}}
            )
        )
        scene.waits("whole", 4)
        scene.cycle()
        assert scene.granted == {"whole"}

    @pytest.mark.parametrize("field", ["waiting_since", "next_admission"])
    async def test_a_moment_at_the_end_of_time_does_not_stop_the_cycle(self, field: str) -> None:
        scene = Scene(**PREEMPTS)
        scene.holds("low", 4)
        scene.waits("late", 4, admission={"priority": 10}, ledger={field: "9999-12-31T23:59:59Z"})
        scene.waits("high", 4, admission={"priority": 9, "queued_at": "9999-12-31T23:59:59Z"})
        scene.cycle()
        assert scene.seen.decisions.pending.keys() == {"late", "high"}


class TestPicture:
    @pytest.mark.parametrize("seed", range(5))
    async def test_what_is_kept_is_what_is_stored(self, seed: int) -> None:
        """Jobs come, are admitted, give way, change and go in any order; the picture is never of what was."""
        scene, draw = Scene(**PREEMPTS), random.Random(seed)
        for _ in range(150):
            name, gpus = f"job-{draw.randint(0, 9)}", draw.randint(1, 3)
            known = scene.seen.jobs.get(name)
            match draw.choice(["waits", "waits", "holds", "ends", "deleted", "suspended", "cycle", "cycle"]):
                case "waits":
                    scene.waits(name, gpus, admission={"priority": draw.choice([0, 10])})
                case "holds":
                    scene.holds(name, gpus)
                case "ends":
                    scene.ends(name)
                case "deleted" if known is not None:
                    scene.seen.jobs.apply("DELETED", known.model_copy(update={"resource_version": "9" * 6}))
                case "suspended":
                    scene.waits(name, gpus, suspend=True)
                case _:
                    scene.cycle()
            scheduler, granted = scene.scheduler, scene.granted
            entries = {job.uid: queue_entry.entry(job, ()) for job in scene.seen.jobs.values()}
            picture = scheduler._cluster()
            expected = by_kind(e for e in entries.values() if isinstance(e, WaitingJob) and e.uid not in granted)
            assert {kind.first.kind: kind.jobs for kind in picture.kinds} == {k.first.kind: k.jobs for k in expected}
            holding = {uid for uid, entry in entries.items() if isinstance(entry, Holder)} | granted
            assert sorted(h.uid for h in picture.holders) == sorted(holding)
            ending = {h.uid for h in picture.holders if h.ending_since is not None}
            assert ending == {uid for uid in scene.displaced if isinstance(entries.get(uid), Holder)}
