"""What is played on the real API server: jobs, what kwok makes of their pods, what people do meanwhile, and the end.

Times are short, since they are real ones: pods run for tenths of a second, back-offs are one second. Used by plans.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_operator.api import names, ranges
from batch_operator.cluster.resource_paths import BATCH_JOBS, PODS, QUEUES
from tests.builders import files, make_pipeline_spec, make_spec, two_components
from tests.fakes.pod_scripts import PodPlace, Script, finishes
from tests.faults.bench import HIGH_PRIORITY, custom
from tests.faults.upstream import Object, Upstream

JOB = "tep"
SHORT = 0.3
_KWOK = "kwok.batch-operator.dev"
SEEN_SECONDS = 1.5
_FOR_EVER = Script(ends=None)
Do = Callable[[Upstream, str, list[Object]], Awaitable[object]]
"""Called with the namespace and its pods."""


@dataclass(frozen=True)
class Act:
    """Done once `pods` run and status says that they were seen, or that the job runs and nothing more for a while."""

    pods: int
    do: Do
    attempt: int = 0
    """One of them at least is of this attempt."""

    def is_due(self, jobs: list[Object], pods: list[Object], waited: float) -> bool:
        """A pod that is deleted before anybody saw it is made again under its name, as if it had never been."""
        status = jobs[0].get("status") or {} if jobs else {}
        component = ((status.get("ledger") or {}).get("components") or {}).get("worker") or {}
        known = ranges.parse(component.get("observed_indexes", ""))
        return len(known) >= self.pods or (waited > SEEN_SECONDS and status.get("status") == "RUNNING")

    def is_near(self, pods: list[Object]) -> bool:
        running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        attempts = [int(pod["metadata"]["labels"][names.ATTEMPT_LABEL]) for pod in running]
        return len(running) >= self.pods and max(attempts) >= self.attempt


@dataclass(frozen=True)
class Once(Act):
    """Done once all jobs have this status, or the one of this name has."""

    status: str = ""
    job: str = ""

    def is_due(self, jobs: list[Object], pods: list[Object], waited: float) -> bool:
        asked = [job for job in jobs if self.job in ("", job["metadata"]["name"])]
        return bool(asked) and all((job.get("status") or {}).get("status") == self.status for job in asked)

    def is_near(self, pods: list[Object]) -> bool:
        return True


@dataclass(frozen=True)
class Scenario:
    """`jobs`: specs by name, made in this order, but for those of `later`, which an act makes. `expects`: parts of each
    job's last status; None: nothing is left. `queue`: the spec of the Queue that its jobs are in, named as the lane's
    namespace.
    """

    name: str
    script: Callable[[PodPlace], Script]
    expects: Mapping[str, Any] | None
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {JOB: make_spec()})
    pipeline: Mapping[str, Any] = field(default_factory=make_pipeline_spec)
    acts: tuple[Act, ...] = ()
    queue: Mapping[str, Any] | None = None
    later: tuple[str, ...] = ()
    sampled: bool = False
    """CI crashes the operator at each of its writes in one of the three ways, not in all."""

    def job_spec(self, name: str, namespace: str) -> dict[str, Any]:
        return {**self.jobs[name], **({"queue": namespace} if self.queue is not None else {})}


def kwok_notes(script: Script) -> dict[str, str]:
    """Annotations by which kwok ends a pod (tests/cluster/fake_nodes.py); none: it runs until it is deleted."""
    if script.ends is None:
        return {}
    return {
        f"{_KWOK}/duration": f"{round(script.ends * 1000)}ms",
        f"{_KWOK}/exit-code": str(script.exit_code),
        f"{_KWOK}/termination-message": script.message,
    }


def pipeline_on(spec: Mapping[str, Any], node: str) -> dict[str, Any]:
    """The pipeline with its pods on this fake node."""
    toleration = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
    place = {"node_selector": {"kubernetes.io/hostname": node}, "tolerations": [toleration]}
    components = {name: {**component, **place} for name, component in spec["components"].items()}
    return {**spec, "components": components}


async def delete_the_job(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
    await upstream.ask("DELETE", BATCH_JOBS.path(namespace, JOB))


def edit_queue(**spec: Any) -> Do:
    async def do(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
        await upstream.ask("PATCH", QUEUES.path(name=namespace), {"spec": spec})

    return do


def make_queue(**spec: Any) -> Do:
    async def do(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
        await upstream.ask("POST", QUEUES.path(), custom("Queue", namespace, spec))

    return do


async def delete_queue(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
    await upstream.ask("DELETE", QUEUES.path(name=namespace))


def make_job(name: str, spec: Mapping[str, Any]) -> Do:
    async def do(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
        body = custom("BatchJob", name, {**spec, "queue": namespace})
        await upstream.ask("POST", BATCH_JOBS.path(namespace), body)

    return do


def annotate(annotation: str, value: str) -> Do:
    async def do(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
        notes = {"metadata": {"annotations": {f"{names.GROUP}/{annotation}": value}}}
        await upstream.ask("PATCH", BATCH_JOBS.path(namespace, JOB), notes)

    return do


async def evict_one(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
    await evict_them(upstream, namespace, [pod for pod in pods if pod["metadata"]["labels"][names.INDEX_LABEL] == "0"])


async def evict_them(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
    for pod in pods:
        name = pod["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        await upstream.ask("POST", PODS.path(namespace, name, "eviction"), eviction)


async def let_them_finish(upstream: Upstream, namespace: str, pods: list[Object]) -> None:
    for pod in pods:
        block = ranges.parse(pod["metadata"]["annotations"][names.INPUTS_ANNOTATION])
        labels = pod["metadata"]["labels"]
        place = PodPlace(JOB, "worker", int(labels[names.INDEX_LABEL]), int(labels[names.ATTEMPT_LABEL]), block)
        path = PODS.path(namespace, pod["metadata"]["name"])
        await upstream.ask("PATCH", path, {"metadata": {"annotations": kwok_notes(finishes(place, SHORT))}})


def _whole_node() -> dict[str, Any]:
    component = {"image": "example.org/classify:1", "max_parallelism": 8, "resources": {"gpu": {"count": 8}}}
    return make_pipeline_spec(components={"worker": component})


def _short(place: PodPlace) -> Script:
    return finishes(place, SHORT + 0.2 * place.index)


def _one_fails(place: PodPlace) -> Script:
    if place.index == 0:
        return Script(ends=SHORT, exit_code=1, message="out of luck")
    return _FOR_EVER


def _fails_first(place: PodPlace) -> Script:
    if place.index == 0 and place.attempt == 0:
        return Script(ends=SHORT, exit_code=1, message="out of luck")
    return _short(place)


def _all_evicted_first(place: PodPlace) -> Script:
    return _FOR_EVER if place.attempt == 0 else _short(place)


def _for_ever(place: PodPlace) -> Script:
    return _FOR_EVER


def _first_holds(place: PodPlace) -> Script:
    """Job one runs until somebody lets it finish."""
    return _FOR_EVER if place.job == "one" else _short(place)


def _low_give_way(place: PodPlace) -> Script:
    return _FOR_EVER if place.job != "high" and place.attempt == 0 else _short(place)


_QUICK = {"backoff_seconds": 1, "backoff_limit_seconds": 2}
_SPEC_2X2, _PIPELINE_2X2 = two_components()
_ONE_POD = make_spec(parameters={"worker": {"parallelism": 1, "config": {"batch_size": 16}}})
_HIGH = make_spec(
    parameters={"worker": {"parallelism": 2, "config": {"batch_size": 16}}}, priority_class_name=HIGH_PRIORITY
)
_HUNDRED = make_spec(inputs=make_spec()["inputs"] | {"worker.inference": files(100)})

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "success",
            _short,
            {"status": "COMPLETED", "progress": "8/8"},
            jobs={JOB: _SPEC_2X2},
            pipeline=_PIPELINE_2X2,
        ),
        Scenario("hundred-inputs", _short, {"status": "COMPLETED", "progress": "100/100"}, jobs={JOB: _HUNDRED}),
        Scenario(
            "retry-then-success",
            _fails_first,
            {"status": "COMPLETED", "progress": "4/4", "retry_count": 1, "preemption_count": 0},
            jobs={JOB: make_spec(policy=_QUICK)},
        ),
        Scenario(
            "retries-exhausted",
            _one_fails,
            {"status": "FAILED", "retry_count": 1, "error": {"code": "RETRIES_EXHAUSTED"}},
            jobs={JOB: make_spec(policy={**_QUICK, "max_retries": 1, "grace_seconds": 1})},
        ),
        Scenario(
            "preempt-and-resume",
            _for_ever,
            {"status": "COMPLETED", "progress": "4/4", "retry_count": 0, "preemption_count": 1},
            acts=(Act(2, evict_one), Act(2, let_them_finish, attempt=1)),
        ),
        Scenario(
            "all-preempted",
            _all_evicted_first,
            {"status": "COMPLETED", "progress": "4/4", "retry_count": 0, "preemption_count": 2},
            acts=(Act(2, evict_them),),
        ),
        Scenario(
            "cancel-while-running",
            _for_ever,
            {"status": "CANCELLED"},
            jobs={JOB: make_spec(policy={"grace_seconds": 1})},
            acts=(Act(2, annotate("cancel-requested-at", "now")),),
        ),
        Scenario("deleted-while-running", _for_ever, None, acts=(Act(2, delete_the_job),)),
        Scenario(
            "room-for-one",
            _short,
            {"status": "COMPLETED", "progress": "4/4"},
            jobs=dict.fromkeys(("one", "two", "three"), _ONE_POD),
            pipeline=_whole_node(),
        ),
        Scenario(
            "queue-admission",
            _short,
            {"status": "COMPLETED", "progress": "4/4"},
            jobs=dict.fromkeys(("one", "two"), _ONE_POD),
            queue={"quota": {"pods": "1"}},
            sampled=True,
        ),
        Scenario(
            "queue-preempts-two",
            _low_give_way,
            {"status": "COMPLETED", "progress": "4/4", "retry_count": 0},
            jobs={"low-1": _ONE_POD, "low-2": _ONE_POD, "high": _HIGH},
            later=("high",),
            acts=(Act(2, make_job("high", _HIGH)),),
            queue={"quota": {"pods": "2"}, "preemption": "LowerPriority"},
            sampled=True,
        ),
        Scenario(
            "queue-deleted",
            _first_holds,
            {"status": "COMPLETED", "progress": "4/4"},
            jobs=dict.fromkeys(("one", "two"), _ONE_POD),
            later=("two",),
            acts=(
                Act(1, make_job("two", _ONE_POD)),
                Once(0, delete_queue, status="PENDING", job="two"),
                Act(1, let_them_finish),
                Once(0, make_queue(quota={"pods": "1"}), status="COMPLETED", job="one"),
            ),
            queue={"quota": {"pods": "1"}},
            sampled=True,
        ),
    )
}
