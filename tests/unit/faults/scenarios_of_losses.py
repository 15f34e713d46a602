"""Scenarios in which pods are lost: the counting table of design section 2, and every way to lose a pod."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.builders import files, make_pipeline_spec, make_spec
from tests.fakes import disruptions
from tests.fakes.faults import Kind
from tests.fakes.pod_scripts import Happening, PodPlace, Script, breaks, finishes, works
from tests.unit.faults.scenario import Scenario

Play = Callable[[PodPlace], Script]
_DONE = {"status": "COMPLETED", "input_progress": {"pending": 0, "processing": 0, "completed": 4, "failed": 0}}
_EIGHT = make_spec(
    inputs=make_spec()["inputs"] | {"worker.inference": files(16)}, parameters={"worker": {"parallelism": 8}}
)


def _spec(parallelism: int = 2, **changes: Any) -> dict[str, Any]:
    return make_spec(parameters={"worker": {"parallelism": parallelism}}, **changes)


def _scope_job() -> dict[str, Any]:
    worker = {"image": "example.org/classify:1", "max_parallelism": 8, "restart_scope": "Job"}
    return make_pipeline_spec(components={"worker": worker})


def counted(retries: int, preemptions: int, **more: Any) -> dict[str, Any]:
    return _DONE | {"retry_count": retries, "preemption_count": preemptions} | more


def _first_attempts(lost: Callable[[PodPlace], Script], *indexes: int, attempts: int = 1) -> Play:
    """These indexes play `lost` as often as said, and then like all others they finish."""

    def play(place: PodPlace) -> Script:
        return lost(place) if place.index in indexes and place.attempt < attempts else finishes(place, 12.0)

    return play


def _happens(happening: Happening, after: float = 6.0) -> Callable[[PodPlace], Script]:
    return lambda place: works(place, (after, happening))


def _fails(place: PodPlace) -> Script:
    return breaks(4.0, message="out of luck")


def _one_lost(name: str, lost: Callable[[PodPlace], Script], expects: dict[str, Any], **more: Any) -> Scenario:
    """Index 0 of two is lost once, in this way; index 1 lives on."""
    play = _first_attempts(lost, 0)

    def script(place: PodPlace) -> Script:
        return finishes(place, 30.0) if place.index == 1 else play(place)

    return Scenario(name, script, expects, spec=_spec(), pods=None, one_way=False, **more)


def _rejected_three_times(place: PodPlace) -> Script:
    if place.index == 0 and place.attempt < 3:
        return Script(rejected=("UnexpectedAdmissionError", "Allocate failed due to no healthy devices"))
    return finishes(place, 40.0)


def _round_fails(place: PodPlace) -> Script:
    """The first round loses its index 0; its sibling would never end by itself."""
    if place.attempt > 0:
        return finishes(place)
    return breaks(8.0) if place.index == 0 else works(place)


def _round_drained(place: PodPlace) -> Script:
    if place.attempt > 0:
        return finishes(place)
    return works(place, (6.0, disruptions.evicted)) if place.index < 3 else works(place)


_NODES = {"node-1": 1, "node-2": 1, "node-3": 1}


def _on_two_nodes(happening: Happening) -> Play:
    """Each pod has a GPU, and so a node of its own; the first pod's node goes."""

    def play(place: PodPlace) -> Script:
        if place.attempt == 0 and place.index == 0:
            return works(place, (6.0, happening))
        return finishes(place, 20.0)

    return play


def _loses_a_node(name: str, happening: Happening, component: dict[str, Any] | None = None) -> Scenario:
    worker = {"image": "example.org/classify:1", "max_parallelism": 8, "resources": {"gpu": {"count": 1}}}
    return Scenario(
        name,
        _on_two_nodes(happening),
        counted(0, 1),
        spec=_spec(),
        pipeline=make_pipeline_spec(components={"worker": worker | (component or {})}),
        nodes=_NODES,
        pods=None,
        one_way=False,
    )


def _seen_ends_collected(place: PodPlace) -> Script:
    """Index 0 ends, and PodGC takes it while index 1 still works."""
    if place.index == 0:
        return finishes(place, 5.0)
    script = finishes(place, 30.0)
    return Script(ends=script.ends, message=script.message, happens=((20.0, disruptions.ended_pods_collected),))


OF_LOSSES = (
    _one_lost("retry-then-success", _fails, counted(1, 0), in_full=True),
    Scenario(
        "retries-exhausted",
        lambda place: _fails(place) if place.index == 0 else works(place),
        {"status": "FAILED", "retry_count": 1, "preemption_count": 0, "error": {"code": "RETRIES_EXHAUSTED"}},
        spec=_spec(policy={"max_retries": 1, "backoff_seconds": 5}),
        pods=None,
        in_full=True,
        one_way=False,
    ),
    Scenario(
        "preempt-and-resume",
        _first_attempts(_happens(disruptions.preempted), 0),
        counted(0, 1),
        spec=_spec(1),
        passes=("ADMITTED", "RUNNING", "PREEMPTED", "ADMITTED", "RUNNING", "COMPLETED"),
        pods=1,
        in_full=True,
        one_way=False,
    ),
    Scenario(
        "preempt-one-of-three",
        lambda place: (
            works(place, (6.0, disruptions.preempted))
            if (place.index, place.attempt) == (1, 0)
            else finishes(place, 30.0)
        ),
        counted(0, 1),
        spec=_spec(3),
        passes=("ADMITTED", "RUNNING", "COMPLETED"),
        pods=3,
        one_way=False,
    ),
    # the counting table
    Scenario(
        "one-index-fails-3-times",
        lambda place: _fails(place) if place.index == 0 and place.attempt < 3 else finishes(place),
        counted(3, 0),
        spec=_spec(),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "one-index-fails-4-times",
        lambda place: _fails(place) if place.index == 0 else works(place),
        {"status": "FAILED", "retry_count": 3, "preemption_count": 0, "error": {"code": "RETRIES_EXHAUSTED"}},
        spec=_spec(),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "two-indexes-fail-twice",
        _first_attempts(_fails, 0, 1, attempts=2),
        counted(4, 0),
        spec=_spec(4),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "drain-of-3-of-8",
        lambda place: (
            works(place, (6.0, disruptions.evicted))
            if place.index < 3 and place.attempt == 0
            else finishes(place, 30.0)
        ),
        {"status": "COMPLETED", "retry_count": 0, "preemption_count": 3, "progress": "16/16"},
        spec=_EIGHT,
        passes=("ADMITTED", "RUNNING", "COMPLETED"),
        pods=None,
        counts_vary=True,
        one_way=False,
    ),
    Scenario(
        "drain-of-3-of-8-whole-round",
        _round_drained,
        {"status": "COMPLETED", "retry_count": 0, "preemption_count": 1, "progress": "16/16"},
        spec=_EIGHT,
        pipeline=_scope_job(),
        passes=("ADMITTED", "RUNNING", "PREEMPTED", "ADMITTED", "RUNNING", "COMPLETED"),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "no-preemption-allowed",
        _first_attempts(_happens(disruptions.preempted), 0),
        {"status": "FAILED", "retry_count": 0, "preemption_count": 1, "error": {"code": "PREEMPTIONS_EXHAUSTED"}},
        spec=_spec(policy={"max_preemptions": 0}),
        pods=None,
        one_way=False,
    ),
    Scenario("round-lost", _round_fails, counted(1, 0), spec=_spec(), pipeline=_scope_job(), pods=None, one_way=False),
    # every way to lose a pod
    _one_lost("oom-killed", lambda place: breaks(6.0, 137, reason="OOMKilled"), counted(1, 0)),
    _one_lost("own-storage-limit", _happens(disruptions.evicted_for_its_own_limit), counted(1, 0)),
    _one_lost("exit-75-unasked", lambda place: breaks(6.0, 75), counted(1, 0)),
    _one_lost("node-pressure", _happens(disruptions.evicted_under_pressure), counted(0, 1)),
    _one_lost("deleted-by-hand", _happens(disruptions.deleted_by_hand), counted(0, 1)),
    _one_lost("deleted-at-once", _happens(disruptions.deleted_at_once), counted(0, 1)),
    _one_lost(
        "deleted-while-down",
        _happens(disruptions.operator_down(20.0, disruptions.deleted_by_hand)),
        counted(0, 1),
    ),
    _one_lost(
        "preempted-while-down",
        _happens(disruptions.operator_down(20.0, disruptions.preempted)),
        counted(0, 1),
    ),
    Scenario(
        "rejected-3-times",
        _rejected_three_times,
        counted(0, 3),
        spec=_spec(),
        pods=None,
        counts_vary=True,
        one_way=False,
    ),
    _loses_a_node("node-deleted", disruptions.node_deleted),
    _loses_a_node("node-shut-down", disruptions.node_shuts_down),
    _loses_a_node("node-out-of-service", disruptions.node_out_of_service),
    replace(
        _loses_a_node("node-lost-and-pod-forced", disruptions.node_lost, {"force_delete_after_seconds": 30}),
        without=(Kind.CLOCK_BACK_RESTART,),  # the moment from which it counts lies a day ahead
    ),
    Scenario(
        "ended-pods-collected",
        _seen_ends_collected,
        counted(0, 0),
        spec=_spec(),
        pods=1,
        counts_vary=True,  # a pod that was collected before anybody saw its end counts as preempted
        one_way=False,
    ),
)
