"""Each rule of the queue is seen to fire: histories that nobody may leave behind, and their harmless twins."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from batch_operator.cluster.resource_paths import BATCH_JOBS, PODS
from tests.builders import make_spec
from tests.fakes.resource_types import Object
from tests.unit.faults.counting import Counting
from tests.unit.faults.queue_rules import QueueRules
from tests.unit.faults.scenario import NAMESPACE, QUEUES
from tests.unit.faults.status_rules import status_written
from tests.unit.faults.story import GPU, OPERATOR, Story


def _one_too_many(story: Story) -> None:
    for name in ("a", "b", "c"):
        story.job(name)
        story.admit(name)


def _one_after_the_other(story: Story) -> None:
    for name in ("a", "b"):
        story.job(name)
        story.admit(name)
    story.pod_ends("a")
    story.job("c")
    story.admit("c")


def _while_it_terminates(story: Story) -> None:
    """Deleted is not gone."""
    story.job("a", 2)
    story.admit("a", 2)
    path = PODS.path(NAMESPACE, "a-0")
    story.server.patch(path, {"spec": {"nodeName": "node-1"}})
    story.server.delete(path, actor=OPERATOR)
    story.says("a", status="PREEMPTED")
    story.job("b")
    story.admit("b")


def _lowered_before_the_second(story: Story) -> None:
    story.job("a")
    story.admit("a")
    story.edit(quota={GPU: "1"})
    story.wait()
    story.job("b")
    story.admit("b")


def _lowered_after_both(story: Story) -> None:
    for name in ("a", "b"):
        story.job(name, 1)
        story.says(name, status="ADMITTED")
    story.wait()
    story.edit(quota={GPU: "1"})
    story.wait()
    for name in ("a", "b"):
        story.pod(name)


def _raised_between(story: Story) -> None:
    story.job("a", 2)
    story.admit("a", 2)
    story.edit(quota={GPU: "3"})
    story.job("b")
    story.admit("b")


def _not_limited(story: Story) -> None:
    story.edit(quota={GPU: None, "pods": "3"})
    story.wait()
    for name in ("a", "b", "c"):
        story.job(name)
        story.admit(name)


def _pods_are_limited(story: Story) -> None:
    story.edit(quota={"pods": "1"})
    story.wait()
    story.job("a", 2)
    story.admit("a", 2)


def _no_such_queue(story: Story) -> None:
    story.delete_queue()
    story.wait()
    story.job("a")
    story.admit("a")


def _runs_on_without_its_queue(story: Story) -> None:
    story.job("a", 2)
    story.admit("a", 2)
    story.delete_queue()
    story.wait()
    story.pod_ends("a")
    story.pod("a", 7)


def _stopped(story: Story) -> None:
    story.edit(stop="Hold")
    story.wait()
    story.job("a")
    story.admit("a")


def _stopped_just_now(story: Story) -> None:
    """The write was under way."""
    story.job("a")
    story.edit(stop="Hold")
    story.admit("a")


# -- I11


def _younger_first(story: Story) -> None:
    _full(story)
    for name in ("old", "young"):
        story.job(name)
    story.wait()
    story.pod_ends("full")
    story.says("full", status="COMPLETED")
    story.admit("young")


def _older_first(story: Story) -> None:
    _full(story)
    for name in ("old", "young"):
        story.job(name)
    story.wait()
    story.pod_ends("full")
    story.says("full", status="COMPLETED")
    story.admit("old")


def _low_first(story: Story) -> None:
    _full(story)
    story.job("low", priority="low")
    story.job("high", priority="high")
    story.wait()
    story.pod_ends("full")
    story.says("full", status="COMPLETED")
    story.admit("low")


def _high_has_just_come(story: Story) -> None:
    _full(story)
    story.job("low", priority="low")
    story.wait()
    story.pod_ends("full")
    story.says("full", status="COMPLETED")
    story.job("high", priority="high")
    story.admit("low")


def _smaller_passes_one_that_fits(story: Story) -> None:
    """Two of two are free for a long time, and one takes one of them."""
    story.job("big", 2)
    story.wait()
    story.job("small")
    story.admit("small")


def _smaller_passes_one_that_does_not_fit(story: Story) -> None:
    story.job("always")
    story.admit("always")
    story.job("big", 2)
    story.wait()
    story.job("small")
    story.admit("small")


def _room_for_both(story: Story) -> None:
    for name in ("old", "young"):
        story.job(name)
    story.wait()
    story.admit("young")


def _old_is_suspended(story: Story) -> None:
    _younger_first_but(story, {"spec": {"suspend": True}})


def _old_is_in_back_off(story: Story) -> None:
    later = story.server.clock.timestamp(1000)
    _younger_first_but(story, {"status": {"ledger": {"next_admission": later}}})


def _old_came_back_to_the_end(story: Story) -> None:
    """A start timeout put it behind its equals."""
    _younger_first_but(story, {"status": {"ledger": {"admission": {"queued_at": story.server.clock.timestamp(100)}}}})


def _old_has_risen(story: Story) -> None:
    """By aging; then age and priority alone say nothing."""
    _younger_first_but(story, {"status": {"preemption_count": 2}})


def _old_exceeds_the_quota(story: Story) -> None:
    story.edit(quota={"cpu": "1"})
    ledger = {"ledger": {"admission": {"pods": {"worker": {"count": 1, "requests": {GPU: "1", "cpu": "2"}}}}}}
    _younger_first_but(story, {"status": ledger})


def _younger_first_but(story: Story, change: Mapping[str, Any]) -> None:
    _full(story)
    for name in ("old", "young"):
        story.job(name)
    path = BATCH_JOBS.path(NAMESPACE, "old")
    story.server.patch(f"{path}/status" if "status" in change else path, change, actor="user")
    story.wait()
    story.pod_ends("full")
    story.says("full", status="COMPLETED")
    story.admit("young")


def _full(story: Story) -> None:
    """One of two is taken for good, the other one for a while."""
    for name in ("always", "full"):
        story.job(name)
        story.admit(name)


BROKEN = {
    "one pod too many": (_one_too_many, "hold 3 of the 2 nvidia.com/gpu"),
    "quota freed while a pod terminates": (_while_it_terminates, "hold 3 of the 2 nvidia.com/gpu"),
    "a lowered quota is not honoured": (_lowered_before_the_second, "hold 2 of the 1 nvidia.com/gpu"),
    "pods are counted": (_pods_are_limited, "hold 2 of the 1 pods"),
    "a queue that is not there": (_no_such_queue, "which is not there"),
    "a stopped queue": (_stopped, "which is stopped"),
    "the younger first": (_younger_first, "job young was admitted by queue gpu past old"),
    "the lower priority first": (_low_first, "job low was admitted by queue gpu past high"),
    "a smaller one takes what lay free for the first": (
        _smaller_passes_one_that_fits,
        "small was admitted by queue gpu",
    ),
}
HARMLESS = [
    _one_after_the_other,
    _lowered_after_both,
    _raised_between,
    _not_limited,
    _runs_on_without_its_queue,
    _stopped_just_now,
    _older_first,
    _high_has_just_come,
    _smaller_passes_one_that_does_not_fit,
    _room_for_both,
    _old_is_suspended,
    _old_is_in_back_off,
    _old_came_back_to_the_end,
    _old_has_risen,
    _old_exceeds_the_quota,
]


@pytest.mark.parametrize(("tell", "words"), BROKEN.values(), ids=BROKEN)
def test_it_is_seen(tell: Callable[[Story], None], words: str) -> None:
    story = Story()
    tell(story)
    found = story.found
    assert len(found) == 1, found
    assert words in found[0]


@pytest.mark.parametrize("tell", HARMLESS, ids=lambda tell: tell.__name__.strip("_").replace("_", "-"))
def test_nothing_is_seen(tell: Callable[[Story], None]) -> None:
    story = Story()
    tell(story)
    assert story.found == []


def test_where_two_decide_only_the_end_is_judged() -> None:
    story = Story()
    story.rules = QueueRules(decides_alone=False)
    _one_too_many(story)
    _younger_first(story)
    story.job("late", queue_position=7, queue_depth=7)
    assert story.found == []
    assert list(story.rules.end())


def test_the_default_queue_is_without_limit_where_nobody_made_it() -> None:
    story = Story(gpus=None)
    story.server.create(QUEUES, {"metadata": {"name": "default"}, "spec": {"quota": {GPU: "1"}}}, actor="admin")
    story.server.delete(f"{QUEUES}/default", actor="admin")
    spec = make_spec()
    story.server.create(BATCH_JOBS.path(NAMESPACE), {"metadata": {"name": "free"}, "spec": spec}, actor="user")
    story.admit("free", 5)
    assert story.found == []


# -- places


PLACES: dict[str, tuple[list[tuple[int | None, int | None]], str]] = {
    "dense": ([(1, 2), (2, 2)], ""),
    "not unique": ([(1, 2), (1, 2)], "the places in queue gpu are [1, 1]"),
    "not dense": ([(1, 2), (3, 2)], "the places in queue gpu are [1, 3]"),
    "absent": ([(1, 2), (None, None)], "the places in queue gpu are [1, 0]"),
    "another depth": ([(1, 3), (2, 3)], "its depth is said to be {3}"),
    "out of order": ([(2, 2), (1, 2)], "out of order: a behind b"),
}


@pytest.mark.parametrize(("places", "words"), PLACES.values(), ids=PLACES)
def test_places_at_the_end(places: list[tuple[int | None, int | None]], words: str) -> None:
    story = Story()
    _full(story)
    for name, (place, depth) in zip("ab", places, strict=True):
        story.job(name, queue_position=place, queue_depth=depth)
    assert story.found == []
    ended = list(story.rules.end())
    assert words in ended[0] if words else ended == []


def test_who_stands_in_no_line_has_no_place() -> None:
    story = Story()
    story.job("a", 3, queue_position=1, queue_depth=1)
    assert story.found == []
    assert list(story.rules.end()) == ["job a stands in no line, and has place 1"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"status": "PENDING", "queue_position": 2, "queue_depth": 2}, ""),
        ({"status": "RUNNING", "queue_position": 2, "queue_depth": 2}, "a RUNNING job has place 2 of 2"),
        ({"status": "PENDING", "queue_position": 3, "queue_depth": 2}, "its place in the queue is 3 of 2"),
        ({"status": "PENDING", "queue_position": 0, "queue_depth": 2}, "its place in the queue is 0 of 2"),
        ({"status": "PREEMPTED", "queue_position": 1}, "its place in the queue is 1 of None"),
    ],
)
def test_a_place_belongs_to_a_job_that_waits(status: Object, words: str) -> None:
    job = {"metadata": {"generation": 1}, "status": status | {"observedGeneration": 1}}
    found = list(status_written({"status": status["status"]}, job))
    assert [words in one for one in found] == ([True] if words else [])


# -- counts


def _displacement(*counts: int) -> list[str]:
    """A job is displaced once; `counts`: preemption_count with the intent, and after it."""
    stopping = {"reason": "Preempted", "message": "gives way", "preemptor": "u"}
    job: Object = {"metadata": {"uid": "j", "name": "j"}, "spec": {}, "status": {"status": "RUNNING"}}
    counting = Counting()
    found = list(counting._status({}, job))
    for count, ledger in zip(counts, ({"stopping": stopping}, {}), strict=True):
        before, job = (
            job["status"],
            job | {"status": {"status": "RUNNING", "preemption_count": count, "ledger": ledger}},
        )
        found += counting._status(before, job)
    return found


def test_a_displaced_job_counts_one_preemption() -> None:
    assert _displacement(1, 1) == []
    assert "its queue took its quota 1 times" in _displacement(0, 0)[0]
    assert "its queue took its quota 1 times" in _displacement(1, 2)[0]
