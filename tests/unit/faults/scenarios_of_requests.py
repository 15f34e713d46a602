"""Scenarios of requests and timers: cancel, suspend, retry, the timeouts, the time to live."""

from typing import Any

from batch_operator.api import names
from tests.builders import make_pipeline_spec, make_spec
from tests.fakes import disruptions
from tests.fakes.faults import Kind
from tests.fakes.pod_scripts import PodPlace, Script, breaks, finishes, works
from tests.unit.faults.scenario import (
    Scenario,
    annotate,
    condition_is,
    quota,
    status_is,
    suspend,
)

_DONE = {"status": "COMPLETED", "progress": "4/4"}


def _then_finishes(first: Script, place: PodPlace) -> Script:
    return first if place.attempt == 0 else finishes(place)


def _cancels(place: PodPlace) -> Script:
    return works(place, (6.0, disruptions.cancel_requested)) if place.index == 0 else works(place)


def _fails_until_asked(place: PodPlace) -> Script:
    """Index 0 breaks in its first attempt, and max_retries is 0."""
    if place.attempt == 0:
        return breaks(5.0) if place.index == 0 else works(place)
    return finishes(place)


def _policy(**policy: Any) -> dict[str, Any]:
    return make_spec(policy=policy)


def _no_room() -> dict[str, Any]:
    worker = {"image": "example.org/classify:1", "max_parallelism": 8, "resources": {"gpu": {"count": 1}}}
    return make_pipeline_spec(components={"worker": worker})


_A_DAY_LATER = (Kind.CLOCK_BACK_RESTART,)
"""An end that lies a day ahead never changes, so that its children live a day longer."""

OF_REQUESTS = (
    Scenario(
        "cancel-while-running",
        _cancels,
        {"status": "CANCELLED"},
        passes=("ADMITTED", "RUNNING", "CANCELLED"),
        pods=0,
        in_full=True,
        one_way=False,
    ),
    Scenario(
        "cancel-beats-nothing-done",
        finishes,
        _DONE,
        acts=((status_is("COMPLETED"), annotate(names.CANCEL_ANNOTATION)),),
    ),
    Scenario(
        "suspend-and-resume",
        lambda place: _then_finishes(works(place), place),
        _DONE | {"retry_count": 0, "preemption_count": 0},
        acts=((status_is("RUNNING"), suspend(True)), (condition_is("Suspended"), suspend(False))),
        passes=("ADMITTED", "RUNNING", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"),
        one_way=False,
    ),
    Scenario(
        "retry-requested",
        _fails_until_asked,
        _DONE | {"retry_count": 1},
        spec=_policy(max_retries=0),
        acts=((status_is("FAILED"), annotate(names.RETRY_ANNOTATION)),),
        passes=("ADMITTED", "RUNNING", "FAILED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "retry-of-a-cancelled-job",
        lambda place: _cancels(place) if place.attempt == 0 else finishes(place),
        _DONE | {"retry_count": 1},
        acts=((status_is("CANCELLED"), annotate(names.RETRY_ANNOTATION)),),
        passes=("ADMITTED", "RUNNING", "CANCELLED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"),
        pods=None,
        one_way=False,
    ),
    Scenario(
        "start-timeout-thrice",
        finishes,
        {"status": "FAILED", "error": {"code": "START_TIMEOUT"}},
        spec=_policy(start_timeout_seconds=60),
        pipeline=_no_room(),
        nodes={"node-1": 0},
        passes=("ADMITTED", "PENDING", "ADMITTED", "PENDING", "ADMITTED", "FAILED"),
        pods=0,
        one_way=False,
        patience=500.0,  # refused when its start timeout is over, it waits for its longest delay
    ),
    Scenario(
        "assign-timeout",
        finishes,
        {"status": "FAILED", "error": {"code": "ASSIGN_TIMEOUT"}},
        spec=_policy(assign_timeout_seconds=60),
        acts=((0, quota(0)),),
        passes=("ADMITTED", "PENDING", "FAILED"),
        pods=0,
        one_way=False,
    ),
    Scenario(
        "run-timeout",
        works,
        {"status": "FAILED", "error": {"code": "RUN_TIMEOUT"}},
        spec=_policy(run_timeout_seconds=60),
        pods=0,
        one_way=False,
    ),
    Scenario(
        "ttl",
        finishes,
        _DONE,
        spec=_policy(ttl_seconds_after_finished=60),
        pods=0,
        # an operator that was stopped between the lead's guard and the wire makes a ConfigMap after its job's time to
        # live: it stays as long as the job
        without=(*_A_DAY_LATER, Kind.PAUSED_LONG),
    ),
    Scenario(
        "ttl-of-the-job",
        finishes,
        None,
        spec=_policy(ttl_seconds_after_finished=60, ttl_deletes_job=True),
        pods=0,
        without=_A_DAY_LATER,
    ),
)
