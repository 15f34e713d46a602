"""What a Queue's status says."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batch_queue import Stop
from batch_operator.reconcile.queue_status import wanted
from batch_operator.scheduling.decisions import QueueState
from tests.builders import GPU, NOW, make_queue, seconds


def state(used: int = 0, limit: int = 8, **changes: Any) -> QueueState:
    given = {"pending": 0, "admitted": 0, "used": {GPU: used * 1000}, "free": {GPU: (limit - used) * 1000}}
    return QueueState(**{**given, **changes})


def test_a_queue_that_works() -> None:
    found = wanted(make_queue(generation=3), state(6, pending=4, admitted=2), "team-a/one: 2 missing", NOW)
    assert (found.pending, found.admitted, found.usage, found.next) == (4, 2, f"6/8 {GPU}", "team-a/one: 2 missing")
    assert (found.used, found.free, found.observedGeneration) == ({GPU: "6"}, {GPU: "2"}, 3)
    assert found.conditions is not None
    assert [(c.type, c.status, c.reason) for c in found.conditions] == [("Ready", "True", "Ready")]


def test_an_empty_line_has_no_first() -> None:
    assert wanted(make_queue(), state(), "", NOW).next is None


def test_a_long_word_is_shortened() -> None:
    assert len(wanted(make_queue(), state(), "x" * 5000, NOW).next or "") <= 300


def test_more_in_use_than_a_lowered_quota_has() -> None:
    found = wanted(make_queue(4), state(6, 4), "", NOW)
    assert (found.usage, found.free) == (f"6/4 {GPU}", {GPU: "0"})


def test_without_a_quota() -> None:
    found = wanted(make_queue(None), QueueState(0, 1, {}, {}), "", NOW)
    assert (found.usage, found.used, found.free, found.admitted) == (None, None, None, 1)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"stop": Stop.HOLD}, "Stopped", "spec.stop is Hold"),
        ({"stop": Stop.HOLD_AND_DRAIN}, "Stopped", "spec.stop is HoldAndDrain"),
        ({"stop": Stop.HOLD, "problem": "spec.quota: x"}, "Invalid", "it admits nothing: spec.quota: x"),
    ],
    ids=["hold", "drain", "unreadable"],
)
def test_one_that_admits_nothing_says_why(changes: dict[str, Any], reason: str, words: str) -> None:
    (ready,) = list(wanted(make_queue(**changes), state(), "", NOW).conditions or [])
    assert (ready.status, ready.reason, ready.message) == ("False", reason, words)


def test_the_moment_of_a_condition_moves_with_it_only() -> None:
    queue = make_queue()
    queue = replace(queue, status=wanted(queue, state(), "", NOW))
    assert wanted(queue, state(), "", NOW + seconds(60)) == queue.status
    (ready,) = list(wanted(replace(queue, stop=Stop.HOLD), state(), "", NOW + seconds(60)).conditions or [])
    assert ready.lastTransitionTime == NOW + seconds(60)
