"""`Ground`: namespaces, fake nodes, a Queue and a real operator process, and all that happens to their jobs. Used by
load and head.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import aiohttp

from batch_operator.cluster.resource_paths import BATCH_JOBS, PIPELINES, PODS, QUEUES
from tests.builders import files, make_pipeline_spec
from tests.contract.operator_processes import OperatorProcess, Operators
from tests.fakes import resource_types as kinds
from tests.fakes.pod_scripts import PodPlace, Script, finishes
from tests.faults.bench import Bench, custom
from tests.faults.history import NamespaceHistory, Seen
from tests.faults.kubelet import Kubelet
from tests.faults.recovery import each
from tests.faults.scenarios import pipeline_on
from tests.faults.upstream import Object, until
from tests.queue_load import metrics
from tests.queue_load.metrics import Histogram
from tests.queue_load.moves import is_move, written_at

GPU = "nvidia.com/gpu"
HOLDING = ("ADMITTED", "RUNNING")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
DELETED_AT_ONCE = 500
_FOR_EVER = Script(ends=None)


@dataclass
class Fate:
    """What was seen of one job; monotonic seconds."""

    created: float
    stored: Object
    """Its newest version."""
    first_status: float = 0.0
    holds: list[tuple[float, float]] = field(default_factory=list)
    """From each admission until the job ended or waited again; the last one may be open: until infinity."""

    @property
    def status(self) -> Object:
        return self.stored.get("status") or {}

    @property
    def is_held(self) -> bool:
        return bool(self.holds) and self.holds[-1][1] == inf

    @property
    def state(self) -> str:
        return str(self.status.get("status", ""))


@dataclass
class Ground:
    """`seconds_of`: how long a pod runs, by its job's name; None: until `let_go`."""

    bench: Bench
    nodes: int
    namespaces: Iterable[str] = ("",)
    """Suffixes of their names."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of the operator, beside those that it needs."""
    seconds_of: Callable[[str], float | None] = lambda _: None
    fates: dict[str, Fate] = field(default_factory=dict)
    """By job's name; no two namespaces have one in common."""
    moves: list[float] = field(default_factory=list)
    """When a job that waits was told its place or reason anew; seconds since the epoch."""
    _operators: Operators | None = None
    _operator: OperatorProcess | None = None

    def __post_init__(self) -> None:
        self.name = f"queue-{self.bench.id}"
        self._kubelet = Kubelet(self.bench.upstream, self._script)

    def namespace(self, suffix: str = "") -> str:
        return f"{self.name}-{suffix}" if suffix else self.name

    @property
    def operator(self) -> OperatorProcess:
        assert self._operator is not None, "open() starts it"
        return self._operator

    async def open(self, queue: Mapping[str, Any]) -> None:
        """All but jobs; `queue` is the Queue's spec."""
        for number in range(self.nodes):
            await self.bench.make_node(f"fake-{self.name}-{number}", like=self.name)
        spec = pipeline_on(_pipeline(), self.name)
        for suffix in self.namespaces:
            namespace = self.namespace(suffix)
            history = self.bench.recorder.of(namespace)
            history.listener = partial(self._heard, history)
            await self.bench.make_namespace(namespace)
            await self._ask("POST", PIPELINES.path(namespace), custom("Pipeline", "classify", spec))
        await self._ask("POST", QUEUES.path(), custom("Queue", self.name, dict(queue)))
        lease = self.namespace(next(iter(self.namespaces)))
        self._operators = Operators(self.bench.kubeconfig, lease, self.bench.directory, **self.settings)
        self._operator = self._operators.start("operator-1")
        metrics.go_first(self._operator.process.pid)
        await until(self._is_ready, "an operator that is ready")

    async def close(self) -> None:
        await self._kubelet.close()
        if self._operators is not None:
            self._operators.end()
        spaces = [self.namespace(suffix) for suffix in self.namespaces]
        for namespace in spaces:
            for resource, query in ((BATCH_JOBS, ""), (PODS, "&gracePeriodSeconds=0")):
                await self._delete_all(f"{resource.path(namespace)}?limit={DELETED_AT_ONCE}{query}")
        await self._ask("DELETE", QUEUES.path(None, self.name), may_fail=(404,))
        await self.bench.remove(spaces, [f"fake-{self.name}-{number}" for number in range(self.nodes)])

    async def _delete_all(self, path: str) -> None:
        """10,000 at once take longer than one request may."""
        while (await self.bench.upstream.ask("DELETE", path, may_fail=(404,))).get("items"):
            pass

    # -- what people do

    async def submit(self, jobs: Iterable[str], gpus: int = 1) -> None:
        """Of one namespace, as fast as the API server takes them."""
        await each(jobs, lambda name: self.create(name, gpus))

    async def create(self, name: str, gpus: int = 1, suffix: str = "", priority_class: str = "") -> None:
        spec = {
            "pipeline_type": "batch",
            "pipeline_key": "classify",
            "queue": self.name,
            "inputs": {"worker.inference": files(gpus)},
            "parameters": {"worker": {"parallelism": gpus}},
            "policy": {"grace_seconds": 0},
        } | ({"priority_class_name": priority_class} if priority_class else {})
        await self._ask("POST", BATCH_JOBS.path(self.namespace(suffix)), custom("BatchJob", name, spec))

    async def change_queue(self, **changes: Any) -> None:
        await self._ask("PATCH", QUEUES.path(None, self.name), {"spec": changes})

    async def let_go(self) -> None:
        """Pods that run without an end get one, by `seconds_of` as it is now."""
        for suffix in self.namespaces:
            for pod in self.bench.recorder.of(self.namespace(suffix)).of(kinds.PODS):
                self._kubelet.play(pod)

    # -- what there is

    async def cycles(self) -> Histogram:
        """Of the scheduler, so far."""
        return Histogram.read((await self.operator.answer("/metrics"))[1])

    def in_state(self, *states: str) -> list[str]:
        return [name for name, fate in self.fates.items() if fate.state in states]

    async def until(self, what: str, true: Callable[[], bool], seconds: float) -> None:
        """Fails at once where the operator ended or a watch broke."""

        async def holds() -> bool:
            self.bench.recorder.check()
            code = self.operator.process.poll()
            assert code is None, f"the operator ended with {code}; its log: {self.operator.log_file}"
            return true()

        await until(holds, what, seconds)

    # -- inside

    async def _is_ready(self) -> bool:
        with suppress(aiohttp.ClientError):
            return (await self.operator.answer("/readyz"))[0] == 200
        return False

    def _script(self, place: PodPlace) -> Script:
        seconds = self.seconds_of(place.job)
        return _FOR_EVER if seconds is None else finishes(place, seconds)

    def _heard(self, history: NamespaceHistory, seen: Seen) -> None:
        history.seen.clear()  # all versions of 10,000 jobs
        self._kubelet.heard(seen)
        if seen.resource is not kinds.BATCH_JOBS:
            return
        name, after = seen.object["metadata"]["name"], seen.object.get("status") or {}
        fate = self.fates.setdefault(name, Fate(seen.at, seen.object))
        if seen.type == "DELETED":
            return
        before = fate.status
        if is_move(before, after):
            self.moves.append(written_at(seen.object))
        if after and not fate.first_status:
            fate.first_status = seen.at
        if fate.is_held and after.get("status") not in HOLDING:
            fate.holds[-1] = (fate.holds[-1][0], seen.at)
        elif not fate.is_held and after.get("status") in HOLDING:
            fate.holds.append((seen.at, inf))
        fate.stored = seen.object

    async def _ask(self, method: str, path: str, body: Object | None = None, may_fail: tuple[int, ...] = ()) -> None:
        await self.bench.upstream.ask(method, path, body, may_fail=may_fail)


def _pipeline() -> Object:
    """Each pod has one GPU and any number of inputs."""
    worker = {"image": "example.org/classify:1", "max_parallelism": 64, "resources": {"gpu": {"count": 1}}}
    ports = [port for port in make_pipeline_spec()["input_ports"] if port["name"] == "worker.inference"]
    return make_pipeline_spec(components={"worker": worker}, input_ports=ports)
