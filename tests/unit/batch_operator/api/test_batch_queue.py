from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_operator.api.v1alpha1.batch_queue import LabelSelector, Preemption, Stop, Strategy, decode_queue


def raw(spec: object, status: object = None) -> dict[str, Any]:
    meta = {"name": "research", "uid": "u", "resourceVersion": "7", "generation": 3}
    return {"metadata": meta, "spec": spec, "status": status}


def test_defaults() -> None:
    record = decode_queue(raw({}))
    assert (record.strategy, record.preemption, record.stop) == (
        Strategy.BEST_EFFORT_FIFO,
        Preemption.NEVER,
        Stop.NONE,
    )
    assert record.reserve_after == timedelta(hours=1)
    assert (record.problem, record.quota, record.selector) == ("", {}, None)


def test_a_whole_queue() -> None:
    spec = {
        "quota": {"nvidia.com/gpu": "64", "memory": "2Ti", "cpu": 8},
        "strategy": "StrictFIFO",
        "preemption": "LowerPriority",
        "min_runtime_seconds": 60,
        "namespace_selector": {"match_expressions": [{"key": "tier", "operator": "Exists"}]},
        "namespace_weights": {"team-a": 2},
        "reserve_after_seconds": 0,
        "require_matching_node": True,
        "stop": "HoldAndDrain",
    }
    record = decode_queue(raw(spec, {"pending": 3}))
    assert record.quota == {"nvidia.com/gpu": 64_000, "memory": 2000 * 2**40, "cpu": 8000}
    assert (record.min_runtime, record.reserve_after) == (timedelta(minutes=1), timedelta(0))
    assert (record.stop, record.weights, record.generation, record.status.pending) == (
        Stop.HOLD_AND_DRAIN,
        {"team-a": 2},
        3,
        3,
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"quota": {"nvidia.com/gpu": "many"}}, "spec.quota: 'many' is no quantity"),
        ({"quota": {"nvidia.com/gpu": -1}}, "spec.quota: '-1' is no quantity"),
        ({"namespace_weights": {"team-a": -1}}, "spec.namespace_weights.team-a: "),
        ({"stop": "Now"}, "spec.stop: "),
        ("nothing", "spec: "),
    ],
    ids=["no-quantity", "negative", "negative-weight", "unknown-stop", "no-object"],
)
def test_what_cannot_be_read_admits_nothing_and_says_so(spec: object, problem: str) -> None:
    record = decode_queue(raw(spec))
    assert record.problem.startswith(problem)
    assert (record.stop, record.quota, record.name) == (Stop.HOLD, {}, "research")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = ["quota", "strategy", "preemption", "namespace_selector", "namespace_weights", "stop", "min_runtime_seconds"]


@given(st.dictionaries(st.sampled_from(fields), anything, max_size=4) | anything, anything)
def test_decoding_is_total(spec: object, status: object) -> None:
    assert decode_queue(raw(spec, status)).name == "research"


@pytest.mark.parametrize(
    ("requirement", "selects"),
    [
        ({"key": "tier", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "zone", "operator": "Exists"}, False),
        ({"key": "zone", "operator": "DoesNotExist"}, True),
    ],
    ids=["in", "not-in", "not-in-absent", "exists", "does-not-exist"],
)
def test_selectors_are_kubernetes(requirement: dict[str, Any], selects: bool) -> None:
    selector = LabelSelector.model_validate({"match_labels": {"app": "x"}, "match_expressions": [requirement]})
    assert selector.selects({"app": "x", "tier": "a"}) is selects
    assert not selector.selects({"tier": "a", "zone": "z"})
