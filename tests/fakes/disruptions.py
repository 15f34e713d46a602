"""What befalls a pod, and what people do, as scripts name it (pod_scripts.Script.happens): f(world, pod)."""

from collections.abc import Callable
from typing import Any

from batch_operator.api import names
from tests.fakes.api_server import path_of
from tests.fakes.faults import Fault, Kind
from tests.fakes.nodes import disrupt
from tests.fakes.resource_types import BATCH_JOBS, PODS, Address, Object
from tests.fakes.world import World

Act = Callable[[World, Object], object]


def preempted(world: World, pod: Object) -> None:
    """The scheduler needs its place for another of a higher priority."""
    disrupt(
        world.server, pod, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority"
    )
    _delete(world, pod, "scheduler")


def evicted(world: World, pod: Object) -> None:
    """The eviction API, as `kubectl drain` calls it."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["metadata"]["name"]}}
    world.server.create(f"{_path(pod)}/eviction", eviction, actor="user")


def deleted_by_hand(world: World, pod: Object) -> None:
    _delete(world, pod, "user")


def deleted_at_once(world: World, pod: Object) -> None:
    """`kubectl delete --force`: no last word, and no time to say it."""
    world.server.delete(_path(pod), uid=pod["metadata"]["uid"], grace_seconds=0, actor="user")


def evicted_for_its_own_limit(world: World, pod: Object) -> None:
    """It overran its ephemeral storage: the kubelet ends it, and no DisruptionTarget says that it was not its fault."""
    words = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
    world.driver.end(pod, reason="Evicted", message=words, exit_code=137)


def evicted_under_pressure(world: World, pod: Object) -> None:
    """The node runs short of something: the same, with DisruptionTarget."""
    disrupt(world.server, pod, "TerminationByKubelet", "The node was low on resource: memory.")
    world.driver.end(pod, reason="Evicted", message="The node was low on resource: memory.", exit_code=137)


def node_shuts_down(world: World, pod: Object) -> None:
    """The kubelet's graceful shutdown: the pods of the node get their SIGTERM, and stay as Failed."""
    name = pod["spec"]["nodeName"]
    world.nodes.cordon(name)
    words = "Pod was terminated in response to imminent node shutdown."
    for one in world.nodes.pods_on(name):
        disrupt(world.server, one, "TerminationByKubelet", words)
        world.driver.end(one, reason="Terminated", message=words, exit_code=75)


def node_deleted(world: World, pod: Object) -> None:
    world.nodes.delete(pod["spec"]["nodeName"])


def node_lost(world: World, pod: Object) -> None:
    world.nodes.lose(pod["spec"]["nodeName"])


def node_out_of_service(world: World, pod: Object) -> None:
    """It is lost, and after a minute somebody says so."""
    name = pod["spec"]["nodeName"]
    world.nodes.lose(name)
    world.clock.call_after(60.0, lambda: world.nodes.put_out_of_service(name))


def operator_down(seconds: float, meanwhile: Act) -> Act:
    """Kills the operators, lets it happen, and starts one again after that time."""

    def act(world: World, pod: Object) -> None:
        for operator in world.operators:
            if operator.alive:
                operator.crash(Fault(Kind.NONE), seconds)
        meanwhile(world, pod)

    return act


def ended_pods_collected(world: World, pod: Object) -> None:
    world.nodes.collect_ended_pods()


# -- what people do with the job


def job_deleted(world: World, pod: Object) -> None:
    where = _job(pod)
    if any(job["metadata"]["name"] == where.name for job in _jobs(world)):
        world.server.delete(path_of(where), actor="user")


def cancel_requested(world: World, pod: Object) -> None:
    _patch(world, pod, {"metadata": {"annotations": {f"{names.GROUP}/cancel-requested-at": "now"}}})


def suspended(for_seconds: float) -> Act:
    """spec.suspend, and after that time not any more."""

    def act(world: World, pod: Object) -> None:
        _patch(world, pod, {"spec": {"suspend": True}})
        world.clock.call_after(for_seconds, lambda: _patch(world, pod, {"spec": {"suspend": False}}))

    return act


def _patch(world: World, pod: Object, body: dict[str, Any]) -> None:
    where = _job(pod)
    if any(job["metadata"]["name"] == where.name for job in _jobs(world)):
        world.server.patch(path_of(where), body, actor="user")


def _jobs(world: World) -> list[Object]:
    items: list[Object] = world.server.list_page("/apis/batch-operator.dev/v1alpha1/batchjobs")["items"]
    return items


def _job(pod: Object) -> Address:
    (owner,) = pod["metadata"]["ownerReferences"]
    return Address(BATCH_JOBS, pod["metadata"]["namespace"], owner["name"])


def _path(pod: Object) -> str:
    return path_of(Address(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _delete(world: World, pod: Object, actor: str) -> None:
    world.server.delete(_path(pod), uid=pod["metadata"]["uid"], actor=actor)
