"""Two jobs that each hold half of what both need: both let go, one goes first, and both come to their end.

Two nodes of one GPU each, and two jobs that need both. A taint on each node, which one of the jobs tolerates, sees to
it that each gets one pod placed; then the taints are taken away, and each waits for what the other has. In a Queue that
looks at the nodes it does not come to that: one is admitted, and the other once it has ended.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from batch_operator.cluster.resource_paths import BATCH_JOBS, PIPELINES, QUEUES
from batch_operator.policies.timeouts import start_retry_delay
from tests.builders import files, make_pipeline_spec, seconds
from tests.cluster import fake_nodes
from tests.cluster.connection import Connection
from tests.contract.operator_processes import Operators
from tests.fakes import resource_types as kinds
from tests.fakes.pod_scripts import PodPlace, Script, finishes
from tests.faults.bench import NODES, Bench, bench, custom
from tests.faults.history import NamespaceHistory
from tests.faults.kubelet import Kubelet
from tests.faults.upstream import Object, until

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds"), pytest.mark.timeout(120)]

JOBS = {"one": "left", "two": "right"}
"""And the component whose node it may use from the beginning."""
START_TIMEOUT = 3
RETRY_DELAY = 4
APART = 2.0
"""Seconds that their first delays must differ by, which is a matter of their uids."""
FIRST_FOR = "example.org/first-for"


class Gangs:
    """Both jobs in a namespace of their own, with an operator."""

    def __init__(self, desk: Bench) -> None:
        self._desk = desk
        self._ask = desk.upstream.ask
        self.namespace = f"gangs-{desk.id}"
        self._nodes = {component: f"fake-{self.namespace}-{component}" for component in JOBS.values()}
        self._uids: dict[str, str] = {}
        self._ends: set[str] = set()
        """Jobs whose pods may end."""
        self._kubelet = Kubelet(desk.upstream, self._script)
        self._operators = Operators(
            desk.kubeconfig, self.namespace, desk.directory, start_retry_delay_seconds=RETRY_DELAY
        )

    @property
    def history(self) -> NamespaceHistory:
        return self._desk.recorder.of(self.namespace)

    async def open(self) -> None:
        self.history.listener = self._kubelet.heard
        for job, component in JOBS.items():
            await self._ask("POST", NODES, self._node(component, job))
        await self._desk.make_namespace(self.namespace)
        for job in JOBS:
            await self._ask("POST", PIPELINES.path(self.namespace), custom("Pipeline", job, self._pipeline(job)))
        self._operators.start("operator-1")
        await self._submit("one")
        await self._submit("two")
        while abs(self._delay("one") - self._delay("two")) < APART:
            await self._ask("DELETE", BATCH_JOBS.path(self.namespace, "two"))
            await self._submit("two")

    async def close(self) -> None:
        self._operators.end()
        await self._kubelet.close()
        await self._ask("DELETE", QUEUES.path(name=self.namespace), may_fail=(404,))
        await self._desk.remove([self.namespace], list(self._nodes.values()))

    async def begin(self, **spec: object) -> None:
        for job in JOBS:
            await self._ask("PATCH", BATCH_JOBS.path(self.namespace, job), {"spec": {"suspend": False, **spec}})

    async def make_queue(self, **spec: object) -> str:
        await self._ask("POST", QUEUES.path(), custom("Queue", self.namespace, spec))
        return self.namespace

    async def open_nodes(self) -> None:
        """To both jobs."""
        for name in self._nodes.values():
            spec = {"taints": fake_nodes.node(0)["spec"]["taints"]}
            await self._ask("PATCH", f"{NODES}/{name}", {"spec": spec})

    def placed(self, job: str) -> set[str]:
        """Components with a running pod."""
        pods = [pod["metadata"]["labels"] for pod in self.history.of(kinds.PODS) if _runs(pod)]
        mine = "batch-operator.dev/job-name"
        return {labels["batch-operator.dev/component"] for labels in pods if labels[mine] == job}

    def status(self, job: str) -> Any:
        stored = [found for found in self.history.of(kinds.BATCH_JOBS) if found["metadata"]["name"] == job]
        return stored[0].get("status") or {} if stored else {}

    def timed_out(self, job: str) -> int:
        """How often it did not start in time, in the worst of its versions."""
        versions = [s.object for s in self.history.seen if s.resource is kinds.BATCH_JOBS]
        ledgers = [(v.get("status") or {}).get("ledger") or {} for v in versions if v["metadata"]["name"] == job]
        return max(ledger.get("start_timeouts") or 0 for ledger in ledgers)

    async def let_them_end(self, job: str) -> None:
        self._ends.add(job)
        for pod in self.history.of(kinds.PODS):
            if pod["metadata"]["labels"]["batch-operator.dev/job-name"] == job and _runs(pod):
                self._kubelet.play(pod)

    # -- inside

    def _script(self, place: PodPlace) -> Script:
        return finishes(place, 0.1) if place.job in self._ends else Script(ends=None)

    def _node(self, component: str, job: str) -> Object:
        node = fake_nodes.node(0)
        name = self._nodes[component]
        node["metadata"] |= {"name": name}
        node["metadata"]["labels"]["kubernetes.io/hostname"] = name
        node["spec"]["taints"].append({"key": FIRST_FOR, "value": job, "effect": "NoSchedule"})
        node["status"]["capacity"]["nvidia.com/gpu"] = "1"  # and, being the same object, what is allocatable
        return node

    def _pipeline(self, job: str) -> Object:
        kwok = {"key": fake_nodes.ANNOTATION, "operator": "Exists"}
        mine = {"key": FIRST_FOR, "operator": "Equal", "value": job}
        components = {
            component: {
                "image": "example.org/half:1",
                "max_parallelism": 1,
                "resources": {"gpu": {"count": 1}},
                "node_selector": {"kubernetes.io/hostname": name},
                "tolerations": [kwok, mine],
            }
            for component, name in self._nodes.items()
        }
        return make_pipeline_spec(
            key=job,
            components=components,
            input_ports=[
                {"name": f"{component}.files", "distribute": "scatter", "tracked": True, "required": True}
                for component in components
            ],
            default_config={component: {"parallelism": 1, "config": {}} for component in components},
            output_ports=None,
            user_config_schema=None,
        )

    async def _submit(self, job: str) -> None:
        """Suspended."""
        spec = {
            "pipeline_type": "batch",
            "pipeline_key": job,
            "inputs": {f"{component}.files": files(1) for component in JOBS.values()},
            "policy": {"start_timeout_seconds": START_TIMEOUT, "grace_seconds": 0},
            "suspend": True,
        }
        made = await self._ask("POST", BATCH_JOBS.path(self.namespace), custom("BatchJob", job, spec))
        self._uids[job] = made["metadata"]["uid"]

    def _delay(self, job: str) -> float:
        return start_retry_delay(self._uids[job], 1, seconds(RETRY_DELAY)).total_seconds()


@pytest.fixture
async def gangs(cluster: Connection) -> AsyncIterator[Gangs]:
    async with bench(cluster.kubeconfig) as desk:
        made = Gangs(desk)
        try:
            await made.open()
            yield made
        finally:
            await made.close()


async def test_two_half_placed_gangs_do_not_hold_each_other_for_ever(gangs: Gangs) -> None:
    await gangs.begin()

    async def half_placed() -> bool:
        return {job: gangs.placed(job) for job in JOBS} == {job: {component} for job, component in JOBS.items()}

    await until(half_placed, "each job has one pod placed")
    await gangs.open_nodes()
    ended: set[str] = set()

    async def all_ended() -> bool:
        for job in JOBS:
            if len(gangs.placed(job)) == len(JOBS) and job not in ended:
                ended.add(job)
                await gangs.let_them_end(job)
        return all(gangs.status(job).get("status") in ("COMPLETED", "FAILED") for job in JOBS)

    await until(all_ended, "both jobs have ended", 60)
    assert {job: gangs.status(job)["status"] for job in JOBS} == dict.fromkeys(JOBS, "COMPLETED")
    assert {job: gangs.timed_out(job) for job in JOBS} == dict.fromkeys(JOBS, 1), "each held the other, once"
    assert all(gangs.status(job)["preemption_count"] == 0 for job in JOBS)


async def test_in_a_queue_that_looks_at_the_nodes_one_goes_after_the_other(gangs: Gangs) -> None:
    await gangs.open_nodes()
    await gangs.begin(queue=await gangs.make_queue(quota={"nvidia.com/gpu": "8"}, require_matching_node=True))
    whole = set(JOBS.values())
    order: list[str] = []

    async def one_runs() -> bool:
        order[:] = sorted(JOBS, key=lambda job: len(gangs.placed(job)), reverse=True)
        return gangs.placed(order[0]) == whole and "no room" in gangs.status(order[1]).get("message", "")

    await until(one_runs, "one job runs, and the other says that it has no room")
    first, second = order
    message = gangs.status(second)["message"]
    assert "no room on the nodes: a pod of 1 nvidia.com/gpu, none free" in message
    assert gangs.status(second)["queue_position"] == 1
    assert gangs.placed(second) == set()
    await gangs.let_them_end(first)

    async def other_runs() -> bool:
        return gangs.placed(second) == whole

    await until(other_runs, "the other one runs")
    await gangs.let_them_end(second)

    async def all_ended() -> bool:
        return all(gangs.status(job).get("status") == "COMPLETED" for job in JOBS)

    await until(all_ended, "both jobs have ended")
    assert {job: gangs.timed_out(job) for job in JOBS} == dict.fromkeys(JOBS, 0)


def _runs(pod: Object) -> bool:
    running = (pod.get("status") or {}).get("phase") == "Running"
    return running and "deletionTimestamp" not in pod["metadata"]
