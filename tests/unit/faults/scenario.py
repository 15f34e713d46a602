"""What the fault tests play: jobs, what their pods do, what people do meanwhile, and how it must end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from batch_operator.cluster.errors import AlreadyExists
from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, NAMESPACES
from tests.builders import make_pipeline_spec, make_spec
from tests.fakes import resource_types
from tests.fakes.faults import Kind
from tests.fakes.pod_scripts import PodPlace, Script
from tests.fakes.resource_types import Object
from tests.fakes.watch_log import Commit
from tests.fakes.world import ONE_NODE, World

NAMESPACE, JOB, QUEUE = "team-a", "tep", "gpu"
QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
QUEUES = "/apis/batch-operator.dev/v1alpha1/queues"
PRIORITY_CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
Act = Callable[[World], object]


@dataclass(frozen=True)
class Together:
    """When all these jobs have this status at the same time."""

    status: str
    jobs: tuple[str, ...]

    def begin(self) -> Callable[[Object], bool]:
        """For one world: hears each job whenever it changes."""
        now: dict[str, str] = {}

        def is_so(job: Object) -> bool:
            now[job["metadata"]["name"]] = str((job.get("status") or {}).get("status"))
            return all(now.get(name) == self.status for name in self.jobs)

        return is_so


Moment = float | Callable[[Object], bool] | Together
"""A second, or what must be true of the job: then it happens REACTION_SECONDS after it first is."""
REACTION_SECONDS = 3.0


@dataclass(frozen=True)
class Scenario:
    """`expects`: parts of each job's last status; None: nothing may be left. `specs`, `expects_of`: of jobs that differ
    from the others, by name.
    """

    name: str
    script: Callable[[PodPlace], Script]
    expects: Mapping[str, Any] | None
    spec: Mapping[str, Any] = field(default_factory=make_spec)
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expects_of: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    pipeline: Mapping[str, Any] | None = field(default_factory=make_pipeline_spec)
    acts: tuple[tuple[Moment, Act], ...] = ()
    """What people do, and when."""
    passes: tuple[str, ...] = ()
    """The values of status.status on the way, where they matter."""
    pods: int | None = 2
    """Pods that are left at the end; None: whatever is."""
    jobs: tuple[str, ...] = (JOB,)
    arrives: Mapping[str, Moment] = field(default_factory=dict)
    """When these jobs are applied, by name; the others are there from the start."""
    nodes: Mapping[str, int] = field(default_factory=lambda: ONE_NODE)
    patience: float = 0.0
    """Seconds that it may end later under a fault, on top of what every fault may cost."""
    in_full: bool = False
    """One of the eight of the fault matrix: with every fault. The others are played with the essential kinds."""
    counts_vary: bool = False
    """How many pods are lost may depend on the fault; that each of them is counted once may not (counting)."""
    without: tuple[Kind, ...] = ()
    """Faults that rightly end it otherwise."""
    one_way: bool = True
    """There is one way only to the end, so that even the names of the pods must be the same under every fault. Where
    pods are lost, a round may begin anew or not, as the operator finds them.
    """

    def set_up(self, world: World) -> None:
        world.server.create(NAMESPACES.path(), {"metadata": {"name": NAMESPACE}})
        for moment, act in self.acts:
            _at(world, moment, act)
        if self.pipeline is not None:
            publish(self.pipeline)(world)
        for name in self.jobs:
            _at(world, self.arrives.get(name, 0), apply_job(name, self.specs.get(name, self.spec)))


def _at(world: World, moment: Moment, act: Act) -> None:
    if isinstance(moment, Together):
        _on_first(world, moment.begin(), act)
    elif callable(moment):
        _on_first(world, moment, act)
    elif moment == 0:
        act(world)
    else:
        world.clock.call_at(moment, partial(act, world))


def _on_first(world: World, is_so: Callable[[Object], bool], act: Act) -> None:
    waiting = [act]

    def heard(commit: Commit) -> None:
        if waiting and commit.resource is resource_types.BATCH_JOBS and is_so(commit.object):
            world.clock.call_after(REACTION_SECONDS, partial(waiting.pop(), world))

    world.server.subscribe(heard)


# -- when


def status_is(status: str, job: str = "") -> Callable[[Object], bool]:
    """Of any job, or of the one of this name."""

    def is_so(one: Object) -> bool:
        return job in ("", one["metadata"]["name"]) and (one.get("status") or {}).get("status") == status

    return is_so


def condition_is(kind: str, value: str = "True") -> Callable[[Object], bool]:
    def is_so(job: Object) -> bool:
        conditions = (job.get("status") or {}).get("conditions") or ()
        return any(c["type"] == kind and c["status"] == value for c in conditions)

    return is_so


def has_pods(world: World) -> bool:
    return bool(world.server.list_page("/api/v1/pods")["items"])


# -- what people do


def apply_job(name: str, spec: Mapping[str, Any]) -> Act:
    manifest = {"metadata": {"name": name}, "spec": spec}
    return lambda world: world.server.create(BATCH_JOBS.path(NAMESPACE), manifest, actor="user")


def publish(spec: Mapping[str, Any]) -> Act:
    manifest = {"metadata": {"name": f"{spec['key']}-1.1.1"}, "spec": spec}
    return lambda world: world.server.create(CLUSTER_PIPELINES.path(), manifest, actor="user")


def quota(pods: int) -> Act:
    manifest = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": str(pods)}}}
    return lambda world: world.server.create(QUOTAS, manifest, actor="user")


def quota_becomes(pods: int) -> Act:
    return lambda world: world.server.patch(f"{QUOTAS}/pods", {"spec": {"hard": {"pods": str(pods)}}}, actor="user")


def apply_queue(name: str = QUEUE, /, **spec: Any) -> Act:
    """As `kubectl apply` does it."""
    manifest = {"metadata": {"name": name}, "spec": spec}

    def act(world: World) -> None:
        try:
            world.server.create(QUEUES, manifest, actor="admin")
        except AlreadyExists:
            world.server.patch(f"{QUEUES}/{name}", {"spec": spec}, actor="admin")

    return act


def edit_queue(**spec: Any) -> Act:
    return lambda world: world.server.patch(f"{QUEUES}/{QUEUE}", {"spec": spec}, actor="admin")


def delete_queue(world: World) -> None:
    world.server.delete(f"{QUEUES}/{QUEUE}", actor="admin")


def priority_classes(**values: int) -> Act:
    def act(world: World) -> None:
        for name, value in values.items():
            world.server.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value}, actor="admin")

    return act


def add_node(name: str, gpus: int) -> Act:
    return lambda world: world.nodes.add(name, gpus)


def annotate(name: str, value: str = "now") -> Act:
    body = {"metadata": {"annotations": {name: value}}}
    return lambda world: world.server.patch(BATCH_JOBS.path(NAMESPACE, JOB), body, actor="user")


def suspend(value: bool) -> Act:
    return lambda world: world.server.patch(BATCH_JOBS.path(NAMESPACE, JOB), {"spec": {"suspend": value}}, actor="user")


def delete_job(name: str) -> Act:
    return lambda world: world.server.delete(BATCH_JOBS.path(NAMESPACE, name), actor="user")


delete_the_job = delete_job(JOB)
