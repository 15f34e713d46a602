"""All scenarios by name; here those in which no pod is lost, more in scenarios_of_…."""

import json
from typing import Any

from tests.builders import files, make_pipeline_spec, make_spec, two_components
from tests.fakes.pod_scripts import PodPlace, Script, finishes, report
from tests.unit.faults.scenario import (
    Scenario,
    delete_the_job,
    publish,
    quota,
    quota_becomes,
)
from tests.unit.faults.scenarios_of_kueue import OF_KUEUE
from tests.unit.faults.scenarios_of_losses import OF_LOSSES
from tests.unit.faults.scenarios_of_queues import OF_QUEUES
from tests.unit.faults.scenarios_of_requests import OF_REQUESTS


def _stepwise(place: PodPlace) -> Script:
    """One input after the other, each reported."""
    first, second = sorted(place.inputs)
    whole = finishes(place, 8.0 + 3 * place.index)
    told = ((1.0, report(processing=str(first))), (4.0, report(str(first), processing=str(second))))
    return Script(reports=told, ends=whole.ends, message=whole.message)


def _hundred(place: PodPlace) -> Script:
    numbers = sorted(place.inputs)
    told = []
    for tick in range(1, 5):
        done = f"{numbers[0]}-{numbers[10 * tick - 1]}"
        told.append((6.0 * tick, report(done, processing=str(numbers[10 * tick]))))
    return Script(reports=tuple(told), ends=30.0 + place.index, message=finishes(place).message)


def _no_image(place: PodPlace) -> Script:
    if place.index == 0:
        return Script(starts=None, waiting=("ImagePullBackOff", "Back-off pulling image"))
    return Script(ends=None)


def _bad_config(place: PodPlace) -> Script:
    if place.index == 0:
        return Script(ends=9.0, exit_code=64, message="no such model")
    return Script(reports=((1.0, report(processing="2")),), ends=None)


def _third_input_fails(place: PodPlace) -> Script:
    return finishes(place, failed="2" if 2 in place.inputs else "")


def _liar(place: PodPlace) -> Script:
    """Worker 0 says that it has done everything, its sibling's inputs too."""
    if place.index == 0:
        return Script(ends=8.0, message=json.dumps(report("0-3")))
    return Script(ends=12.0, message=json.dumps(report("2", failed="3", reasons={"3": "no such sensor"})))


def _with_gpus() -> dict[str, Any]:
    worker = {"image": "example.org/classify:1", "max_parallelism": 8, "resources": {"gpu": {"count": 1}}}
    return make_pipeline_spec(components={"worker": worker})


_SPEC_2X2, _PIPELINE_2X2 = two_components()
_DONE = {"status": "COMPLETED", "input_progress": {"pending": 0, "processing": 0, "completed": 4, "failed": 0}}
_ONE_FAILED = {"pending": 0, "processing": 0, "completed": 3, "failed": 1}

_OF_ENDS = (
    Scenario(
        "success",
        _stepwise,
        {"status": "COMPLETED", "progress": "8/8"},
        spec=_SPEC_2X2,
        pipeline=_PIPELINE_2X2,
        passes=("ADMITTED", "RUNNING", "COMPLETED"),
        pods=4,
        in_full=True,
    ),
    Scenario(
        "hundred-inputs",
        _hundred,
        {"status": "COMPLETED", "progress": "100/100"},
        spec=make_spec(inputs=make_spec()["inputs"] | {"worker.inference": files(100)}),
        in_full=True,
    ),
    Scenario(
        "three-jobs",
        lambda place: finishes(place, 20.0 + place.index),
        _DONE,
        pipeline=_with_gpus(),
        jobs=("one", "two", "three"),
        nodes={"node-1": 2},
        pods=6,
        in_full=True,
    ),
    Scenario("bad-config", _bad_config, {"status": "FAILED", "error": {"code": "INVALID_REQUEST"}}, pods=1),
    Scenario("no-image", _no_image, {"status": "FAILED", "error": {"code": "START_FAILED"}}, pods=0, patience=300.0),
    Scenario("deleted-while-running", _stepwise, None, acts=((8.0, delete_the_job),), pods=0, in_full=True),
    Scenario("pipeline-later", finishes, _DONE, pipeline=None, acts=((45.0, publish(make_pipeline_spec())),)),
    Scenario(
        "quota-none",
        finishes,
        _DONE,
        acts=((0, quota(0)), (12.0, quota_becomes(9))),
        passes=("ADMITTED", "PENDING", "ADMITTED", "RUNNING", "COMPLETED"),
        # a clock that goes a day ahead ends the start timeout of the refused job, and it waits for its longest delay
        patience=500.0,
    ),
    Scenario("quota-one", lambda place: finishes(place, 25.0), _DONE, acts=((0, quota(1)),), patience=500.0),
    Scenario(
        "too-many-failed-inputs",
        _third_input_fails,
        {"status": "FAILED", "error": {"code": "INPUTS_FAILED", "input": 2}, "input_progress": _ONE_FAILED},
    ),
    Scenario(
        "failed-inputs-allowed",
        _third_input_fails,
        {"status": "COMPLETED", "input_progress": _ONE_FAILED},
        spec=make_spec(policy={"max_failed_inputs": 1}),
    ),
    Scenario(
        "foreign-report",
        _liar,
        {"status": "FAILED", "error": {"code": "INPUTS_FAILED", "input": 3}, "input_progress": _ONE_FAILED},
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in (*_OF_ENDS, *OF_LOSSES, *OF_REQUESTS, *OF_QUEUES, *OF_KUEUE)}
