"""What the fault tests play: jobs, what their pods do, what people do meanwhile, and how each must end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, NAMESPACES
from tests.builders import files, make_pipeline_spec, make_spec
from tests.fakes.pod_scripts import PodPlace, Script, finishes, report
from tests.fakes.world import World

NAMESPACE, JOB = "team-a", "tep"
QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
Act = Callable[[World], object]


@dataclass(frozen=True)
class Scenario:
    """`acts`: what people do, by second. `expects`: parts of the job's last status; None: nothing may be left."""

    name: str
    script: Callable[[PodPlace], Script]
    expects: Mapping[str, Any] | None
    spec: Mapping[str, Any] = field(default_factory=make_spec)
    pipeline: Mapping[str, Any] | None = field(default_factory=make_pipeline_spec)
    acts: tuple[tuple[float, Act], ...] = ()
    pods: int = 2
    """Pods that are left at the end."""
    patience: float = 0.0
    """Seconds that a restarted operator may begin to count anew."""

    def set_up(self, world: World) -> None:
        world.server.create(NAMESPACES.path(), {"metadata": {"name": NAMESPACE}})
        for when, act in self.acts:
            if when == 0:
                act(world)
            else:
                world.clock.call_at(when, partial(act, world))
        if self.pipeline is not None:
            publish(self.pipeline)(world)
        world.server.create(BATCH_JOBS.path(NAMESPACE), {"metadata": {"name": JOB}, "spec": self.spec}, actor="user")


def publish(spec: Mapping[str, Any]) -> Act:
    manifest = {"metadata": {"name": "classify-1.1.1"}, "spec": spec}
    return lambda world: world.server.create(CLUSTER_PIPELINES.path(), manifest, actor="user")


def quota(pods: int) -> Act:
    manifest = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": str(pods)}}}
    return lambda world: world.server.create(QUOTAS, manifest, actor="user")


def quota_becomes(pods: int) -> Act:
    return lambda world: world.server.patch(f"{QUOTAS}/pods", {"spec": {"hard": {"pods": str(pods)}}}, actor="user")


def delete_the_job(world: World) -> None:
    world.server.delete(BATCH_JOBS.path(NAMESPACE, JOB), actor="user")


def _two_components() -> tuple[dict[str, Any], dict[str, Any]]:
    ports = make_pipeline_spec()["input_ports"]
    scores = {"name": "scorer.tables", "distribute": "scatter", "tracked": True, "required": True}
    pipeline = make_pipeline_spec(
        input_ports=[*ports, scores],
        components={name: {"image": f"example.org/{name}:1", "max_parallelism": 8} for name in ("worker", "scorer")},
        default_config={name: {"parallelism": 2, "config": {}} for name in ("worker", "scorer")},
        user_config_schema=None,
    )
    inputs = make_spec()["inputs"] | {"scorer.tables": files(4)}
    return make_spec(inputs=inputs, parameters=None), pipeline


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


def _one_fails(place: PodPlace) -> Script:
    if place.index == 0:
        return Script(ends=9.0, exit_code=1, message="out of luck")
    return Script(reports=((1.0, report(processing="2")),), ends=None)


def _no_image(place: PodPlace) -> Script:
    if place.index == 0:
        return Script(starts=None, waiting=("ImagePullBackOff", "Back-off pulling image"))
    return Script(ends=None)


def _third_input_fails(place: PodPlace) -> Script:
    return finishes(place, failed="2" if 2 in place.inputs else "")


def _liar(place: PodPlace) -> Script:
    """Worker 0 says that it has done everything, its sibling's inputs too."""
    if place.index == 0:
        return Script(ends=8.0, message=json.dumps(report("0-3")))
    return Script(ends=12.0, message=json.dumps(report("2", failed="3", reasons={"3": "no such sensor"})))


_SPEC_2X2, _PIPELINE_2X2 = _two_components()
_DONE = {"status": "COMPLETED", "input_progress": {"pending": 0, "processing": 0, "completed": 4, "failed": 0}}
_ONE_FAILED = {"pending": 0, "processing": 0, "completed": 3, "failed": 1}

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "success",
            _stepwise,
            {"status": "COMPLETED", "progress": "8/8"},
            spec=_SPEC_2X2,
            pipeline=_PIPELINE_2X2,
            pods=4,
        ),
        Scenario(
            "hundred-inputs",
            _hundred,
            {"status": "COMPLETED", "progress": "100/100"},
            spec=make_spec(inputs=make_spec()["inputs"] | {"worker.inference": files(100)}),
        ),
        Scenario("worker-fails", _one_fails, {"status": "FAILED", "error": {"code": "WORKER_FAILED"}}, pods=1),
        Scenario(
            "no-image", _no_image, {"status": "FAILED", "error": {"code": "START_FAILED"}}, pods=0, patience=300.0
        ),
        Scenario("deleted-while-running", _stepwise, None, acts=((8.0, delete_the_job),), pods=0),
        Scenario("pipeline-later", finishes, _DONE, pipeline=None, acts=((45.0, publish(make_pipeline_spec())),)),
        Scenario("quota-none", finishes, _DONE, acts=((0, quota(0)), (12.0, quota_becomes(9)))),
        Scenario("quota-one", lambda place: finishes(place, 25.0), _DONE, acts=((0, quota(1)),)),
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
}
