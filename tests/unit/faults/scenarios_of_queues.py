"""Scenarios of the queue: jobs that wait for its quota, give way, and what an administrator does to it meanwhile.

Every pod asks for one GPU, where nothing else is said, and there is a node for all: what is scarce is the quota.
Pods say nothing of their progress, so that the writes that a fault falls on are the queue's and not those.
"""

import json
from collections.abc import Mapping
from typing import Any

from batch_operator.api import names, ranges
from tests.builders import make_pipeline_spec, make_spec
from tests.fakes.faults import Kind
from tests.fakes.pod_scripts import PodPlace, Script, finishes, report
from tests.fakes.resource_types import Object
from tests.fakes.world import World
from tests.unit.faults.scenario import (
    QUEUE,
    Scenario,
    Together,
    add_node,
    apply_queue,
    delete_job,
    delete_queue,
    edit_queue,
    priority_classes,
    publish,
    status_is,
)

GPU = "nvidia.com/gpu"
_DONE: dict[str, Any] = {"status": "COMPLETED", "progress": "4/4", "retry_count": 0, "preemption_count": 0}
_GAVE_WAY = _DONE | {"preemption_count": 1}


def _job(pods: int = 1, **more: Any) -> dict[str, Any]:
    return make_spec(queue=QUEUE, parameters={"worker": {"parallelism": pods}}, **more)


def _pipeline(key: str = "classify", *, gpus: int = 1, **worker: Any) -> dict[str, Any]:
    resources = {"resources": {"gpu": {"count": gpus}}} if gpus else {}
    component = {"image": "example.org/classify:1", "max_parallelism": 8} | resources | worker
    return make_pipeline_spec(key=key, components={"worker": component})


def _works(place: PodPlace) -> Script:
    return finishes(place, 20.0 + place.index)


def _first_is_long(place: PodPlace) -> Script:
    """So long that those behind it have been in line for longer than queue_rules' patience."""
    return finishes(place, 150.0 if place.job == "one" else 15.0)


def _until_stopped(place: PodPlace) -> Script:
    """The first attempt never ends by itself."""
    return Script(ends=None) if place.attempt == 0 else finishes(place, 15.0)


def _low_until_stopped(place: PodPlace) -> Script:
    """One takes its time to stop: what the other one gave up must not be taken meanwhile."""
    if place.job == "high" or place.attempt > 0:
        return finishes(place, 15.0)
    return Script(ends=None, stop_seconds=10.0 if place.job == "low-1" else 1.0)


def _until_stopped_one(place: PodPlace) -> Script:
    return Script(ends=None, stop_seconds=10.0) if place.job == "one" else finishes(place)


def _first_holds(place: PodPlace) -> Script:
    """Job one holds its quota for good."""
    return Script(ends=None) if place.job == "one" else finishes(place)


def _one_after_another(*names: str, each: float = 2.0) -> Mapping[str, float]:
    return {name: place * each for place, name in enumerate(names) if place}


def _gang(place: PodPlace) -> Script:
    """Its pods work only together. In the first attempt the first pods of all gangs come to a place first."""
    looks = tuple((5.0 * look, _ends_with_its_sibling) for look in range(1, 30))
    return Script(scheduled=1.0 + 3.0 * place.index if place.attempt == 0 else 1.0, happens=looks, ends=None)


def _ends_with_its_sibling(world: World, pod: Object) -> None:
    owners = pod["metadata"]["ownerReferences"]
    pods = world.server.list_page("/api/v1/pods")["items"]
    siblings = [one for one in pods if one["metadata"].get("ownerReferences") == owners]
    if sum(one["status"].get("phase") in ("Running", "Succeeded") for one in siblings) == len(siblings) == 2:
        block = ranges.parse(pod["metadata"]["annotations"][names.INPUTS_ANNOTATION])
        world.driver.exit(pod, 0, json.dumps(report(ranges.format_ranges(block))))


_LATER = (Kind.CLOCK_FORWARD_RESTART, Kind.CLOCK_BACK_RESTART)
"""A start timeout is over at once, or begins anew."""

_REFUSED_IN_TIME = 500.0
"""A job whose pods are refused when its start timeout is over waits for its longest delay."""

OF_QUEUES = (
    Scenario(
        "queue-admission",
        _first_is_long,
        _DONE,
        spec=_job(),
        pipeline=_pipeline(),
        acts=((0, apply_queue(quota={GPU: "1"})),),
        jobs=("one", "two", "three"),
        arrives=_one_after_another("one", "two", "three"),
        pods=3,
        in_full=True,
        patience=60.0,
    ),
    Scenario(
        "queue-line",
        _first_holds,
        {"status": "PENDING", "queue_depth": 3},
        spec=_job(2),
        specs={"high": _job(2, priority_class_name="high"), "idle": _job(suspend=True), "giant": _job(4)},
        pipeline=_pipeline(),
        acts=((0, apply_queue(quota={GPU: "2", "pods": "3"})), (0, priority_classes(high=100))),
        jobs=("one", "two", "three", "high", "idle", "giant"),
        arrives=_one_after_another("one", "two", "three", "high", "idle", "giant"),
        expects_of={
            "one": {"status": "RUNNING"},
            "high": {"status": "PENDING", "queue_position": 1},
            "two": {"status": "PENDING", "queue_position": 2},
            "idle": {"status": "PENDING"},
            "giant": {"status": "PENDING"},
        },
        without=_LATER,
        patience=600.0,  # a ConfigMap that was refused is made when its job is looked at next, here by the audit
    ),
    Scenario(
        "queue-preempts-two",
        _low_until_stopped,
        _GAVE_WAY,
        spec=_job(1, priority_class_name="low"),
        specs={"high": _job(2, priority_class_name="high")},
        expects_of={"high": _DONE},
        pipeline=_pipeline(),
        acts=(
            (0, apply_queue(quota={GPU: "2"}, preemption="LowerPriority")),
            (0, priority_classes(low=-10, high=100)),
        ),
        jobs=("low-1", "low-2", "high"),
        arrives={"low-2": 2.0, "high": Together("RUNNING", ("low-1", "low-2"))},
        pods=4,
        in_full=True,
        one_way=False,
        patience=120.0,
        without=(Kind.WATCH_DROPS,),  # one of which nothing is heard may end by itself before others need its quota
    ),
    Scenario(
        "queue-edited",
        _works,
        _DONE,
        spec=_job(2),
        pipeline=_pipeline(),
        acts=(
            (0, apply_queue(quota={GPU: "2"})),
            (status_is("RUNNING", "one"), edit_queue(quota={GPU: "1"})),
            (status_is("COMPLETED", "one"), edit_queue(quota={GPU: "4"})),
        ),
        jobs=("one", "two", "three"),
        arrives=_one_after_another("one", "two", "three"),
        pods=6,
        in_full=True,
    ),
    Scenario(
        "queue-deleted",
        _works,
        _DONE,
        spec=_job(2),
        pipeline=_pipeline(),
        acts=(
            (0, apply_queue(quota={GPU: "2"})),
            (status_is("RUNNING", "one"), delete_queue),
            (status_is("COMPLETED", "one"), apply_queue(quota={GPU: "4"})),
        ),
        jobs=("one", "two", "three"),
        arrives=_one_after_another("one", "two", "three"),
        pods=6,
        in_full=True,
    ),
    Scenario(
        "queue-drained",
        _until_stopped,
        _GAVE_WAY,
        spec=_job(),
        specs={"one": _job(2)},
        pipeline=_pipeline(),
        acts=(
            (0, apply_queue(quota={GPU: "3"})),
            (Together("RUNNING", ("one", "two")), edit_queue(stop="HoldAndDrain")),
            (Together("PREEMPTED", ("one", "two")), edit_queue(stop="None")),
        ),
        jobs=("one", "two"),
        arrives=_one_after_another("one", "two"),
        pods=3,
        one_way=False,
    ),
    Scenario(
        "queue-job-deleted",
        _until_stopped_one,
        _DONE,
        spec=_job(),
        expects_of={"one": None},
        pipeline=_pipeline(),
        acts=((0, apply_queue(quota={GPU: "1"})), (status_is("RUNNING", "one"), delete_job("one"))),
        jobs=("one", "two"),
        arrives=_one_after_another("one", "two"),
        pods=1,
    ),
    Scenario(
        "queue-start-timeout",
        _first_is_long,
        _DONE,
        spec=_job(pipeline_key="plain", policy={"start_timeout_seconds": 60}),
        specs={"stuck": _job(policy={"start_timeout_seconds": 60})},
        pipeline=_pipeline(),
        acts=(
            (0, publish(_pipeline("plain", gpus=0))),
            (0, apply_queue(quota={"pods": "1"})),
            (status_is("PENDING", "stuck"), add_node("node-2", 8)),
        ),
        jobs=("stuck", "one", "two"),
        arrives=_one_after_another("stuck", "one", "two"),
        nodes={"node-1": 0},
        pods=3,
        one_way=False,
        without=_LATER,
        patience=300.0 + _REFUSED_IN_TIME,
    ),
    Scenario(
        "queue-room",
        _gang,
        _DONE | {"preemption_count": 0},
        spec=_job(2, policy={"start_timeout_seconds": 60}),
        pipeline=_pipeline(restart_scope="Job"),
        acts=((0, apply_queue(quota={GPU: "4"}, require_matching_node=True)),),
        jobs=("one", "two"),
        arrives=_one_after_another("one", "two"),
        nodes={"node-1": 2},
        pods=4,
        one_way=False,
        without=(*_LATER, Kind.STRANGER),  # a stranger's pod keeps one of the two GPUs for good
        patience=300.0 + _REFUSED_IN_TIME,
    ),
    Scenario(
        "queue-two-gangs",
        _gang,
        _DONE,
        spec=_job(2, policy={"start_timeout_seconds": 60}),
        pipeline=_pipeline(restart_scope="Job"),
        acts=((0, apply_queue(quota={GPU: "4"})),),
        jobs=("one", "two"),
        nodes={"node-1": 2},
        pods=4,
        one_way=False,
        without=(*_LATER, Kind.STRANGER),  # a stranger's pod keeps one of the two GPUs for good
        patience=300.0 + _REFUSED_IN_TIME,
    ),
)
